"""Many images of a model into files, without a service: one process (`gan.sample`), or many machines (`gan.bulk`)."""
