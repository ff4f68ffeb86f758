"""The words of alerts in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Words(NamedTuple):
    """Everything that a message says beside its facts, in one language; `{count}` stands for a number."""

    raised: str
    raised_again: str
    reminder: str
    resolved: str
    severity: str
    kind: str
    entity: str
    expected: str
    actual: str
    seller: str
    order: str
    statement: str
    since: str
    open_case: str
    open_list: str
    open_board: str
    digest: str
    counts: str
    rules: str
    more_rules: str
    at_stake: str
    period: str
    route: str
    test_title: str
    test_line: str
    colon: str
    comma: str
    severities: Mapping[str, str]
    kinds: Mapping[str, str]
    digest_kinds: Mapping[str, str]


WORDS: Final[Mapping[str, Words]] = {
    "en": Words(
        raised="Discrepancy",
        raised_again="Discrepancy again (occurrence {count})",
        reminder="Still open (reminder {count})",
        resolved="Resolved",
        severity="Severity",
        kind="Class",
        entity="What",
        expected="Expected",
        actual="Actual",
        seller="Seller",
        order="Order",
        statement="Statement",
        since="Since",
        open_case="Open the case",
        open_list="Open the discrepancies",
        open_board="Open the dashboard",
        digest="{count} alerts in one",
        counts="Alerts",
        rules="Rules",
        more_rules=", and {count} more",
        at_stake="In question",
        period="Detected",
        route="Route",
        test_title="Test of trueup's alerts",
        test_line="This is only a test: whoever reads it would get the alerts of this route.",
        colon=": ",
        comma=", ",
        severities={"low": "low", "medium": "medium", "high": "high", "critical": "critical"},
        kinds={"one-sided": "one-sided", "wrong-amount": "wrong amount", "mismatch": "mismatch"},
        digest_kinds={"raised": "raised", "reminder": "still open", "resolved": "resolved"},
    ),
    "zh": Words(
        raised="差异",
        raised_again="差异再次出现（第 {count} 次）",
        reminder="仍未解决（第 {count} 次提醒）",
        resolved="已恢复一致",
        severity="严重程度",
        kind="类别",
        entity="对象",
        expected="应为",
        actual="实际",
        seller="商家",
        order="订单",
        statement="结算单",
        since="起始时间",
        open_case="查看差异",
        open_list="查看差异列表",
        open_board="打开看板",
        digest="{count} 条告警汇总",
        counts="告警",
        rules="规则",
        more_rules="，另有 {count} 条规则",
        at_stake="涉及金额",
        period="发现时间",
        route="路由",
        test_title="trueup 告警测试",
        test_line="这只是一条测试消息：收到它的人会收到这条路由的告警。",
        colon="：",
        comma="，",
        severities={"low": "低", "medium": "中", "high": "高", "critical": "紧急"},
        kinds={"one-sided": "单边", "wrong-amount": "金额不符", "mismatch": "不一致"},
        digest_kinds={"raised": "新出现", "reminder": "仍未解决", "resolved": "已恢复"},
    ),
}
"""By the language of a route."""
