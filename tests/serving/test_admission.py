"""Who is let in, and what the figures say of those who are not."""

import pytest
from prometheus_client import REGISTRY

from serving.admission import Admission, ByteBudget
from serving.errors import RequestError
from serving.settings import Settings


def refused(reason):
    return REGISTRY.get_sample_value("gan_refused_requests_total", {"reason": reason}) or 0


def test_while_the_service_drains_nobody_is_let_in_and_another_replica_is_soon_asked():
    admission, before = Admission(10, 1000, lambda: None), refused("draining")
    with admission.admit(1, 1):
        admission.draining = True
    with pytest.raises(RequestError, match="about to stop") as error, admission.admit(1, 1):
        pass
    assert (error.value.status, error.value.headers) == (503, {"Retry-After": "1", "Connection": "close"})
    assert refused("draining") == before + 1
    assert admission.pending == 0


def test_a_full_queue_is_counted_and_says_how_long_it_will_take():
    admission, before = Admission(10, 1000, lambda: 4.0), refused("queue full")
    with admission.admit(9, 1):
        with admission.admit(1, 1):  # just full
            pass
        with pytest.raises(RequestError, match="9 images are waiting already") as error, admission.admit(2, 1):
            pass
    assert (error.value.status, error.value.headers) == (429, {"Retry-After": "3"})
    assert refused("queue full") == before + 1
    assert admission.pending == 0


def test_full_bytes_are_counted_and_say_how_long_the_images_will_take():
    admission, before = Admission(10, 1000, lambda: 4.0), refused("queue bytes full")
    with admission.admit(9, 900):
        with admission.admit(1, 100):  # just full
            assert (admission.pending, admission.pending_bytes) == (10, 1000)
        with pytest.raises(RequestError, match="900 bytes of images are waiting already") as error, admission.admit(1, 101):
            pass
    assert (error.value.status, error.value.headers) == (429, {"Retry-After": "3"})
    assert refused("queue bytes full") == before + 1
    assert admission.pending_bytes == 0


def test_a_request_that_finds_no_other_is_admitted_whatever_its_size():
    admission = Admission(10, 1000, lambda: None)
    with admission.admit(11, 1001), pytest.raises(RequestError, match="11 images"), admission.admit(1, 1):
        pass
    with admission.admit(1, 1001), pytest.raises(RequestError, match="1001 bytes of images"), admission.admit(1, 1):
        pass
    assert (admission.pending, admission.pending_bytes) == (0, 0)


def test_a_full_queue_of_small_images_never_meets_the_bound_in_bytes_and_one_of_large_images_does():
    settings = Settings()
    inputs = 4 * 512 + 8
    assert settings.queue * (inputs + 32 * 32 * 8**2) < settings.queue_bytes
    assert 3 * settings.queue_bytes < 2**30 < 3 * settings.queue * (inputs + 256 * 256 * 3)  # with the copies that are made


def test_bodies_may_fill_their_bound_to_the_last_byte_and_not_one_more():
    bodies, before = ByteBudget(100), refused("bodies")
    with bodies.hold() as first, bodies.hold() as second:
        first(60)
        second(40)
        assert refused("bodies") == before
        with pytest.raises(RequestError, match="1 s") as error:
            second(41)
        assert error.value.status == 429
    assert refused("bodies") == before + 1
    with bodies.hold() as other:
        other(100)
