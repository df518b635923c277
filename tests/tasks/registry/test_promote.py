import json
from datetime import UTC, datetime

import pytest

import tasks.registry.promote
import tasks.registry.versions
from models.evidence.gates import Gate
from models.pricing.policy import Exploration, Guardrails, PricingPolicy
from models.pricing.presets import COLD_START_LIMITS, COLD_START_SHARE, WIDENING
from tasks.data.snapshots import Snapshot
from tasks.markdown import GAP
from tasks.registry.pages import version_link
from tasks.registry.promote import GateError, gates_table, promote
from tasks.registry.versions import (
    BOOK_HEADING,
    CARD_FILE,
    GATES_HEADING,
    LONGEST_DESCRIPTION,
    REMEASURED,
    RegisteredDemand,
    describe_version,
)

POLICY = PricingPolicy(guardrails=Guardrails(maximum_discount=0.4), exploration=Exploration(share=0.05))
CONDUCT = {
    "priced_sample": 100.0, "refused_by_fault": 0.0, "guardrail_violations": 0.0, "protected_group_changes": 0.0,
}  # fmt: skip
QUALITY = CONDUCT | {"log_loss_gain_over_constant_rate_low": 0.01, "sign_accuracy": 1.0, "ece_low": 0.0}
TIMED = {"latency_ratio_low": 1.0}
VALIDATION = {"tables": {"offers": {"rows": 100, "failing": 2, "limit": 0.1}}}
UNEXPLORED = {"off_policy_offers": 0.0}
BETTER = {
    "off_policy_offers": 900.0, "off_policy_uplift_low": 0.2, "off_policy_uplift_high": 0.9,
    "off_policy_effective_sample": 400.0, "off_policy_mean_weight_gap": 0.0, "off_policy_coverage": 1.0,
}  # fmt: skip
INCONCLUSIVE = BETTER | {"off_policy_uplift_low": -0.2}
WORSE = BETTER | {"off_policy_uplift_low": -0.4, "off_policy_uplift_high": -0.1}


class Registry:
    """Versions with their figures, the champion among them, and what was written on them."""

    def __init__(self) -> None:
        self.figures: dict[int, dict[str, float]] = {}
        self.champion = 0
        self.own = POLICY
        self.tags: dict[int, dict[str, str]] = {}
        self.described: dict[int, str] = {}
        self.page = ""
        self.under_the_named: dict[str, float] = {}
        self.measured: list[tuple[PricingPolicy, int, int]] = []

    def version(self, number: int) -> RegisteredDemand:
        registry = self

        class Version(RegisteredDemand):
            def metrics(self) -> dict[str, float]:
                return registry.figures[self.version]

            def remeasured(self) -> dict[str, float]:
                return json.loads(registry.tags.get(self.version, {}).get(REMEASURED, "{}"))

            def policy(self) -> PricingPolicy:
                return registry.own

        return Version(number, f"run-{number}", "shop")

    def measure(self, policy: PricingPolicy, version: RegisteredDemand, rival: int, snapshot: Snapshot):
        self.measured.append((policy, version.version, rival))
        return CONDUCT | TIMED | self.under_the_named | {"off_policy_against": float(rival)}

    def promote(self, number: int, figures: dict[str, float], against: int, policy: str | None = None):
        self.figures[number] = QUALITY | (TIMED if against else {}) | figures | {"off_policy_against": float(against)}
        return promote.fn(str(number), policy)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    kept = Registry()
    snapshot = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC), validation=VALIDATION)
    fakes = {
        "version_of": lambda name: kept.version(int(name)),
        "champion_of": lambda dataset: kept.version(kept.champion) if kept.champion else None,
        "latest_snapshot": lambda url, dataset: snapshot,
        "database_url": lambda settings: "",
        "figures_under": kept.measure,
        "show_page": lambda page, key, description: setattr(kept, "page", page),
        "tag_version": lambda number, tags: kept.tags.setdefault(number, {}).update(tags),
        "describe_version": lambda number, heading, text: kept.described.update({number: f"{heading}\n\n{text}"}),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(tasks.registry.promote, name, fake)
    return kept


def test_the_first_version_starts_cold_where_no_offer_was_explored(registry):
    promotion = registry.promote(1, UNEXPLORED, against=0)
    assert promotion.cold_start
    assert promotion.policy.guardrails.maximum_discount == COLD_START_LIMITS["maximum_discount"]
    assert promotion.policy.exploration.share == COLD_START_SHARE


def test_prices_that_others_drew_do_not_open_the_range_of_a_first_version(registry):
    drawn = {"tried_lowest": 0.5, "tried_highest": 1.5}
    promotion = registry.promote(1, INCONCLUSIVE | drawn, against=0)
    assert promotion.cold_start
    assert promotion.policy.guardrails.maximum_discount == COLD_START_LIMITS["maximum_discount"]


def test_the_first_version_that_earns_more_than_the_logged_prices_prices_as_it_should(registry):
    promotion = registry.promote(1, BETTER, against=0)
    assert not promotion.cold_start
    assert promotion.policy == POLICY


def test_a_version_that_surely_earns_less_is_blocked_and_says_so_with_the_figure(registry):
    with pytest.raises(GateError, match=r"upper bound: -0.1, demanded ≥ 0"):
        registry.promote(1, WORSE, against=0)
    registry.champion = 1
    with pytest.raises(GateError, match=r"off-policy uplift, 95 % lower bound: -0.4, demanded > 0"):
        registry.promote(2, WORSE, against=1)


def test_a_challenger_is_promoted_on_evidence_against_the_champion_of_today(registry):
    registry.champion = 1
    assert not registry.promote(3, BETTER, against=1).cold_start
    assert registry.measured == []
    registry.champion = 2
    registry.under_the_named = WORSE
    with pytest.raises(GateError, match=r"off-policy uplift, 95 % lower bound: -0.4, demanded > 0"):
        registry.promote(3, BETTER, against=1)
    assert registry.measured == [(POLICY, 3, 2)]


def test_a_version_from_before_there_was_a_champion_is_compared_with_it_now(registry):
    registry.champion, registry.under_the_named = 1, UNEXPLORED | AGAINST_COLD
    first = registry.promote(2, UNEXPLORED, against=0)
    assert first.cold_start
    assert registry.measured == [(POLICY, 2, 1)]
    registry.champion = 2  # it went live, and its book is made anew
    again = registry.promote(2, UNEXPLORED, against=0)
    assert again.cold_start and again.inputs_hash == first.inputs_hash
    assert registry.measured == [(POLICY, 2, 1)]
    registry.champion, registry.tags = 1, {}
    registry.under_the_named = UNEXPLORED | AGAINST_COLD | {"latency_ratio_low": 1.3}
    with pytest.raises(GateError, match=r"time to price over the champion's.*: 1.3, demanded ≤ 1.2"):
        registry.promote(2, UNEXPLORED, against=0)


def test_data_that_did_not_pass_their_validation_price_nothing(registry, monkeypatch):
    monkeypatch.setitem(VALIDATION["tables"]["offers"], "failing", 11)
    with pytest.raises(GateError, match=r"failing rows of a table, of those allowed: 1\.1, demanded ≤ 1"):
        registry.promote(1, BETTER, against=0)


AGAINST_COLD = {"off_policy_against_cold": 1.0}


def test_a_model_trained_again_without_explored_offers_is_not_held_up_by_a_champion_without_evidence(registry):
    registry.champion = 1
    assert registry.promote(2, UNEXPLORED | AGAINST_COLD, against=1).cold_start


def test_who_draws_no_price_does_not_pass_a_champion_that_earned_its_place(registry):
    registry.champion, registry.own = 1, POLICY.model_copy(update={"exploration": Exploration(share=0.0)})
    with pytest.raises(
        GateError, match=r"randomised price: 0, demanded ≥ 1: explore \(exploration.share above 0\), or "
    ):
        registry.promote(2, UNEXPLORED, against=1)
    assert registry.tags[2]["gates"] == "failed"


def test_a_cold_start_draws_nothing_where_the_policy_says_so(registry):
    registry.own = POLICY.model_copy(update={"exploration": Exploration(share=0.0)})
    promotion = registry.promote(1, UNEXPLORED, against=0)
    assert promotion.cold_start
    assert promotion.policy.guardrails.maximum_discount == COLD_START_LIMITS["maximum_discount"]
    assert not promotion.policy.exploration.is_on


def test_versions_that_start_cold_follow_each_other_in_widening_limits_until_the_policy_is_reached(registry):
    first = registry.promote(1, UNEXPLORED, against=0)
    assert first.book_description()["cold_start"] is True
    registry.champion = 1
    explored = {"tried_lowest": 0.88, "tried_highest": 1.02}
    second = registry.promote(2, INCONCLUSIVE | AGAINST_COLD | explored, against=1)
    assert second.cold_start
    assert second.policy.guardrails.maximum_discount == pytest.approx(0.12 + WIDENING)
    registry.champion = 2
    bounded = POLICY.model_copy(update={"guardrails": Guardrails(maximum_discount=0.4, maximum_markup=0.0)})
    registry.own = bounded
    explored = {"tried_lowest": 0.62, "tried_highest": 1.0}
    third = registry.promote(3, INCONCLUSIVE | AGAINST_COLD | explored, against=2)
    assert (third.cold_start, third.policy) == (False, bounded)
    assert third.book_description()["cold_start"] is False
    registry.champion = 3
    with pytest.raises(GateError, match="off-policy uplift, 95 % lower bound"):
        registry.promote(4, INCONCLUSIVE | explored, against=3)


def test_the_champion_itself_is_promoted_again_as_it_was(registry):
    registry.champion = 1
    first = registry.promote(2, BETTER, against=1)
    registry.champion = 2
    again = registry.promote(2, BETTER, against=1)
    assert again.inputs_hash == first.inputs_hash


def test_prices_under_another_policy_than_the_versions_own_are_measured_under_it(registry):
    registry.champion, registry.under_the_named = 1, BETTER
    promotion = registry.promote(2, WORSE, against=1, policy="open")
    assert (promotion.policy, promotion.cold_start) == (PricingPolicy(), False)
    assert registry.measured == [(PricingPolicy(), 2, 1)]
    assert "Policy: open." in registry.described[2]
    assert registry.tags[2]["gates_policy"] == "open"
    registry.under_the_named = WORSE
    with pytest.raises(GateError, match=r"off-policy uplift, 95 % lower bound: -0.4, demanded > 0"):
        registry.promote(2, BETTER, against=1, policy="open")


def test_the_own_policy_by_its_name_is_not_measured_again(registry, tmp_path):
    named = tmp_path / "own.toml"
    named.write_text("guardrails.maximum_discount = 0.4\nexploration.share = 0.05\n")
    assert registry.promote(1, BETTER, against=0, policy=str(named)).policy == POLICY
    assert registry.measured == []
    assert "Policy: the version's own." in registry.described[1]


def test_a_bound_of_the_own_policy_does_not_hold_another(registry):
    unequal = BETTER | {"parity_bound": 0.01, "parity_gap": 0.5}
    registry.under_the_named = BETTER | {"parity_gap": 0.5}
    with pytest.raises(GateError, match="parity gap"):
        registry.promote(1, unequal, against=0)
    assert registry.promote(1, unequal, against=0, policy="open").policy == PricingPolicy()


def test_the_figures_of_every_gate_are_written_on_the_version_also_when_it_fails(registry):
    registry.promote(1, BETTER, against=0)
    with pytest.raises(GateError):
        by_weights = {"off_policy_profit_uplift_by_weights_low": -0.7}
        registry.promote(2, BETTER | by_weights | {"guardrail_violations": 3.0}, against=0)
    assert [registry.tags[number]["gates"] for number in (1, 2)] == ["passed", "failed"]
    figures = {gate["name"]: gate for gate in json.loads(registry.tags[2]["gate_figures"])}
    assert figures["guardrail violations in the sample"]["measured"] == 3
    uplift = figures["off-policy uplift, 95 % lower bound"]
    assert (uplift["measured"], uplift["passed"]) == (0.2, True)
    assert figures["profit uplift by self-normalised weights, 95 % lower bound"]["measured"] == -0.7
    assert registry.described[2].startswith(GATES_HEADING)
    assert "| guardrail violations in the sample | 3 | = 0 | FAILED |" in registry.described[2].replace(GAP, "")
    assert registry.page.startswith("# Version 2 sets no prices: it failed its gates, and what is live stays")
    assert f"In MLflow: {version_link(2)}. Policy: the version's own." in registry.page
    assert "| guardrail violations in the sample | 3 | = 0 | FAILED |" in registry.page.replace(GAP, "")


def test_the_table_of_gates_has_a_row_each():
    table = gates_table((Gate("one", 0.12345, "> 0", passed=True), Gate("two", float("nan"), "= 1", passed=False)))
    assert table.replace(GAP, "").splitlines()[2:] == [
        "| one | 0.1235 | > 0 | passed |",
        "| two | nan | = 1 | FAILED |",
    ]


@pytest.fixture
def written(monkeypatch):
    """The description of a version that a registry keeps."""
    kept = {"description": "# Card\n\ntext"}

    class Client:
        def get_model_version(self, name, version):
            return type("Version", (), kept)

        def update_model_version(self, name, version, description):
            kept["description"] = description

    monkeypatch.setattr(tasks.registry.versions, "MlflowClient", Client)
    return kept


def test_a_section_of_the_description_is_replaced_and_the_card_before_it_stays(written):
    for text in ("first", "second"):
        describe_version(1, "## Gates", text)
    assert written["description"] == "# Card\n\ntext\n\n## Gates\n\nsecond\n"
    written["description"] = None
    describe_version(1, "## Gates", "alone")
    assert written["description"] == "## Gates\n\nalone\n"


def test_gates_written_again_leave_the_section_of_the_book(written):
    for heading, text in ((GATES_HEADING, "first"), (BOOK_HEADING, "book 4\n\n- all"), (GATES_HEADING, "second")):
        describe_version(1, heading, text)
    expected = f"# Card\n\ntext\n\n{GATES_HEADING}\n\nsecond\n\n{BOOK_HEADING}\n\nbook 4\n\n- all\n"
    assert written["description"] == expected


def test_a_card_that_is_too_long_gives_way_to_what_a_reviewer_decides_by(written):
    written["description"] = "# Card\n" + "long\n" * 980
    gates, book = "gate\n" * 200, "change\n" * 200
    for _ in range(2):
        describe_version(1, GATES_HEADING, gates)
        describe_version(1, BOOK_HEADING, book)
    description = written["description"]
    assert len(description) <= LONGEST_DESCRIPTION
    assert description.startswith("# Card\nlong") and description.count("Cut short here.") == 1
    assert CARD_FILE in description.partition(GATES_HEADING)[0]
    assert description.count("gate\n") == description.count("change\n") == 200
    describe_version(1, BOOK_HEADING, "change\n" * 2_000)
    assert len(written["description"]) <= LONGEST_DESCRIPTION
    assert written["description"].count("gate\n") == 200
    assert "folder book" in written["description"].splitlines()[-1]
