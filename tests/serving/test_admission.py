"""Who is let in, and what the figures say of those who are not."""

import pytest
from prometheus_client import REGISTRY

from serving.admission import Admission, Bodies
from serving.errors import RequestError


def refused(reason):
    return REGISTRY.get_sample_value("gan_refused_requests_total", {"reason": reason}) or 0


def test_while_the_service_drains_nobody_is_let_in_and_another_replica_is_soon_asked():
    admission, before = Admission(10, lambda: None), refused("draining")
    with admission.admit(1):
        admission.draining = True
    with pytest.raises(RequestError, match="about to stop") as error, admission.admit(1):
        pass
    assert (error.value.status, error.value.headers) == (503, {"Retry-After": "1"})
    assert refused("draining") == before + 1
    assert admission.pending == 0


def test_a_full_queue_is_counted_and_says_how_long_it_will_take():
    admission, before = Admission(10, lambda: 4.0), refused("queue full")
    with admission.admit(9):
        with admission.admit(1):  # just full
            pass
        with pytest.raises(RequestError, match="9 images are waiting already") as error, admission.admit(2):
            pass
    assert (error.value.status, error.value.headers) == (429, {"Retry-After": "3"})
    assert refused("queue full") == before + 1
    assert admission.pending == 0


def test_bodies_may_fill_their_bound_to_the_last_byte_and_not_one_more():
    bodies, before = Bodies(100), refused("bodies")
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
