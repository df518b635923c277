import json

from models.pricing.certificate import Certificate, ConstraintState

KEPT = ConstraintState("stock", "k1", limit=10.0, achieved=9.0, slack=1.0, shadow_price=0.0)
BROKEN = ConstraintState("minimum_volume", None, limit=10.0, achieved=9.0, slack=-1.0, shadow_price=2.0)


def certificate(*constraints: ConstraintState, gap: float = 0.0) -> Certificate:
    return Certificate(constraints, 100.0, gap, 7, {"floor": 3}, {"sold_out": 1})


def test_certified_only_if_every_limit_is_kept_and_little_is_left():
    assert certificate().is_certified
    assert certificate(KEPT, gap=1e-5).is_certified
    assert not certificate(KEPT, gap=1e-3).is_certified
    assert not certificate(KEPT, BROKEN).is_certified
    assert certificate(KEPT, BROKEN).violated == (BROKEN,)


def test_a_certificate_is_stored_as_json():
    stored = json.loads(json.dumps(certificate(KEPT, BROKEN).to_dict()))
    assert stored["is_certified"] is False
    assert stored["constraints"][1]["name"] == "minimum_volume"
    assert stored["binding_rules"] == {"floor": 3}


def test_rounding_may_explain_a_gap_but_never_a_violation():
    coarse = Certificate((KEPT,), 100.0, 1e-3, 7, {}, {}, rounding_bound=2e-3)
    assert coarse.is_certified
    assert coarse.to_dict()["gap_tolerance"] == 2e-3
    assert not Certificate((KEPT,), 100.0, 3e-3, 7, {}, {}, rounding_bound=2e-3).is_certified
    assert not Certificate((BROKEN,), 100.0, 0.0, 7, {}, {}, rounding_bound=2e-3).is_certified
