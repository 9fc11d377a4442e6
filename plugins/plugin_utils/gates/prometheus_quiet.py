# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No alert fires in Prometheus. Pure; who looks has asked it.

The HTTP API is the one of Prometheus 2 and 3 (https://prometheus.io/docs/prometheus/latest/querying/api/), which others
answer as well. Firing alerts are the series ``ALERTS{alertstate="firing"}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate

READS = ("prometheus",)
NAME = "prometheus_quiet"
MOST = 10  # alerts that are named
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


def judge(
    facts: Facts,
    url: str = "",
    alerts: str = ".+",
    labels: Mapping[str, str] | None = None,
    proof: str | None = None,
    headers: Mapping[str, str] | None = None,
    ca_path: str = "",
    seconds: float = 10,
) -> Gate:
    """No alert fires whose name matches *alerts* and that carries *labels*.

    *alerts*: a regular expression of RE2, for the whole name. *labels*: those that select this node. *proof*: a query
    that must give a sample, so that a label that is spelt wrong, or a Prometheus that does not see the node, is not
    taken for silence; by default ``up{<labels>} == 1``, empty for none. *headers*, *ca_path*: of the request.
    *seconds*: how long one answer may take.
    """
    asked = queries(url=url, alerts=alerts, labels=labels, proof=proof, seconds=seconds)
    answers: Any = facts.get("prometheus")
    if not isinstance(answers, list) or len(answers) != len(asked):
        return gate(NAME, None, f"cannot tell: {url} was not asked")
    firing: list[Any] = []
    for number, (query, answer) in enumerate(zip(asked, answers, strict=True)):
        found, why = _series(answer)
        if found is None:
            return gate(NAME, None, f"cannot tell: {url}: {why}", [{"source": url, "text": query}])
        if number == 0:
            firing = found
        elif not found:
            words = f"cannot tell: {url} gives no sample for the proof that it sees this node: {query}"
            return gate(NAME, None, words, [{"source": url, "text": query}])
    if firing:
        names = sorted({str(one["metric"].get("alertname", "?")) for one in firing})
        evidence: list[Evidence] = [
            {"source": url, "text": json.dumps(one["metric"], sort_keys=True)[:300]} for one in firing[:MOST]
        ]
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        return gate(NAME, False, f"{url}: firing: {', '.join(names[:MOST])}{more}", evidence)
    return gate(NAME, True, f"{url}: no alert fires that matches", [{"source": url, "text": asked[0]}])


def queries(
    url: str = "",
    alerts: str = ".+",
    labels: Mapping[str, str] | None = None,
    proof: str | None = None,
    seconds: float = 10,
    **_request: Any,
) -> list[str]:
    """What is to be asked; the alerts first. Raises FleetopsError for what cannot be asked."""
    if not re.match(r"https?://[^\s/]+", url or ""):
        raise FleetopsError(
            f"{NAME}: url is '{url}', expected one such as https://prometheus.example.org:9090"
        )
    if not isinstance(alerts, str) or not alerts:
        raise FleetopsError(f"{NAME}: alerts is {alerts!r}, expected a regular expression")
    if not isinstance(seconds, (int, float)) or seconds <= 0:
        raise FleetopsError(f"{NAME}: seconds is {seconds!r}, expected a number greater than 0")
    wrong = [name for name in labels or {} if not _LABEL.match(str(name))]
    if wrong:
        raise FleetopsError(f"{NAME}: labels has '{wrong[0]}', which is no name of a label")
    node = [f"{name}={_quoted(str(value))}" for name, value in sorted((labels or {}).items())]
    firing = ["alertstate=" + _quoted("firing"), "alertname=~" + _quoted(alerts), *node]
    asked = ["ALERTS{" + ",".join(firing) + "}"]
    if proof is None:
        proof = "up{" + ",".join(node) + "} == 1" if node else ""
    if proof:
        asked.append(proof)
    return asked


def _quoted(text: str) -> str:
    """A string of PromQL, whose escapes are those of Go."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _series(answer: Any) -> tuple[list[Any] | None, str]:
    """The series of an answer; or None, and why there is none."""
    if not isinstance(answer, Mapping):
        return None, "was not asked"
    status, body = answer.get("status"), answer.get("body") or ""
    if status is None:
        return None, str(answer.get("error") or "no answer")
    if 300 <= status < 400:
        where = answer.get("location") or "nowhere"
        return None, f"HTTP {status}, sent on to {where}: is there a login before it?"
    try:
        document = json.loads(body)
    except ValueError:
        return None, f"HTTP {status}, and no JSON: {' '.join(body.split())[:100]!r}"
    if not isinstance(document, dict):
        return None, f"HTTP {status}, and JSON of another shape"
    if status != 200 or document.get("status") != "success":
        return None, f"HTTP {status}: {document.get('error') or document.get('status') or 'no reason given'}"
    if document.get("warnings"):
        return None, f"the answer is not whole: {str(document['warnings'])[:200]}"
    data = document.get("data")
    found = data.get("result") if isinstance(data, dict) and data.get("resultType") == "vector" else None
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("metric"), dict) for one in found
    ):
        return None, "the answer has another shape than a vector of series"
    return found, ""
