"""What a report says of a run's numbers: in words, and by marks in the chart of distances."""

from training.tracking.history import Point, RunHistory
from training.tracking.marks import marks_of
from training.tracking.summary import in_words


def history(*distances: float, spread: float = 0.0) -> RunHistory:
    points = [Point(100_000 * (at + 1), at + 1.0, distance, 0.5, 0.5, spread, 0.1) for at, distance in enumerate(distances)]
    return RunHistory("run", "protocol", "frechet", {"frechet": 2.0}, {}, points)


def rows(**last: float) -> list[dict[str, float]]:
    return [{"pictures": 600_000, "loss_d": 1.0, "loss_g": 1.0, **last}]


def test_three_sentences_from_the_run_s_own_numbers():
    networks, distance, variety = in_words(rows(d_real=0.7, d_fake=0.3, spread=0.97), [], history(90, 40, 30, 12, 9, 8), "images")
    assert "after 600,000 images it takes a real one for real with 70%, a generated one with 30%; it can tell some" in networks
    assert "was 90 at the first checkpoint and 8 at the nearest one, after 600,000 images; other real images have 2." in distance
    assert "differ from each other 97% as much as real ones, so the generator does not repeat itself" in variety
    assert variety.endswith("the last checkpoints were better than those before: longer training is worth it.")


def test_the_sentences_follow_the_numbers():
    def said(found=None, warnings=(), **last):
        return " ".join(in_words(rows(**last), warnings, found, "points"))

    assert "it can hardly tell them apart" in said(d_real=0.52, d_fake=0.49)
    assert "it is nearly certain" in said(d_real=0.99, d_fake=0.01)
    assert "its score of real ones is higher by 0.5" in said(logit_real=1.25, logit_fake=0.75)
    assert "it is right about 80% of them" in said(accuracy_held_out=0.9, accuracy_fake=0.7)
    assert "too little: mode collapse" in said(spread=0.1)
    assert "in 5 of the 8 places (modes) where real ones do, so some of the data is left out (mode collapse), and 40% of" in said(
        modes=5, modes_real=8, good=0.4
    )
    assert "measured at checkpoints, of which there is none yet" in said()
    assert "was least at first, 5, and has grown since" in said(history(5, 6, 7))
    assert "no better than those before" in said(history(9, 5, 5, 5, 5, 5, spread=1.0), spread=1.0)
    assert "that is close" in said(history(9, 2.5))
    assert "the warning above has the reason" in said(warnings=[{"pictures": 5, "message": "training has ended: lost"}])


def test_there_are_no_sentences_without_statistics():
    assert in_words([], [], None, "images") == []
    assert in_words([{"pictures": 5, "odd": 1}], [], None, "images") == []


def test_the_nearest_checkpoint_and_the_one_that_is_exported_are_marked():
    def marks(exported, *distances, exports=True, spread=0.0):
        return [
            (mark.kind, mark.images, mark.text) for mark in marks_of(history(*distances, spread=spread), exported, exports=exports)
        ]

    assert marks(None, 9, 4, 6) == [("both", 200_000, "nearest to the data, and what would be exported now: 4 after 200k")]
    assert marks(200_000, 9, 4, 6) == [("both", 200_000, "nearest to the data, and exported: 4 after 200k")]
    assert marks(None, 9, 4, 5, spread=1.0) == [
        ("nearest", 200_000, "nearest to the data: 4 after 200k"),
        ("exported", 300_000, "what would be exported now, since as near to within the spread: 5 after 300k"),
    ]
    assert marks(100_000, 9, 4, 6)[1] == ("exported", 100_000, "exported: 9 after 100k")
    assert marks(None, 9, 4, 6, exports=False) == [("nearest", 200_000, "nearest to the data: 4 after 200k")]
