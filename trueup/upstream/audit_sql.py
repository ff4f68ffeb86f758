"""The rules of docs/rules.md as SQL over the source tables: one SELECT for each rule, over one set of common parts.

Every SELECT gives (rule, entity_kind, entity_id, expected, actual, currency), amounts in major units, NULL where a rule
compares none. Parameters: `grace`, an interval in seconds, and `limits`, a JSON object of `table.status` → seconds.
Rules about history (`illegal-transition`, `silent-repair`) come from truth, which knows what was done.
"""

from __future__ import annotations

from typing import Final

COMMON: Final = """
clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now, make_interval(secs => %(grace)s) AS grace
),
counted AS (
    -- A business key counts once. Refunds do not count, nor adjustments that stand for a refund.
    SELECT DISTINCT ON (b.order_id, b.kind, b.source_no) b.*, o.currency AS order_currency
    FROM public.billing_item b
    JOIN public.orders o ON o.order_id = b.order_id
    WHERE b.kind <> 'refund'
      AND NOT (
          b.kind = 'adjustment' AND o.status IN ('refunded', 'partially_refunded')
          AND NOT EXISTS (SELECT FROM public.billing_item r WHERE r.order_id = b.order_id AND r.kind = 'refund')
      )
    ORDER BY b.order_id, b.kind, b.source_no, b.billing_item_id
),
billed AS (
    SELECT order_id, sum(amount) AS amount, bool_or(currency <> order_currency) AS mixed, bool_or(kind = 'sale') AS has_sale
    FROM counted GROUP BY order_id
),
owed AS (
    SELECT *, gross_amount - tax_amount - fee_amount AS net FROM public.orders
),
lines AS (
    -- A line belongs to its item when it names the item's order too; `place` 1 is the line that is not a duplicate.
    SELECT l.*, b.billing_item_id IS NOT NULL AS has_item, b.amount AS item_amount, b.currency AS item_currency,
           row_number() OVER (PARTITION BY l.order_id, l.billing_item_id ORDER BY l.payout_item_id) AS place
    FROM public.payout_item l
    LEFT JOIN public.billing_item b ON b.billing_item_id = l.billing_item_id AND b.order_id = l.order_id
),
running AS (
    SELECT statement_id, currency, count(*) AS item_count, sum(amount) AS amount, max(created_at) AS newest_at
    FROM public.billing_item GROUP BY statement_id, currency
),
running_count AS (
    SELECT statement_id, sum(item_count) AS item_count, max(newest_at) AS newest_at FROM running GROUP BY statement_id
),
paid_lines AS (
    SELECT p.payout_id, coalesce(sum(l.amount), 0) AS amount
    FROM public.payout p
    LEFT JOIN public.payout_item l ON l.payout_id = p.payout_id AND l.currency = p.currency
    GROUP BY p.payout_id
),
watched AS (
    SELECT 'orders' AS name, 'order' AS entity_kind, order_id AS id, status, updated_at FROM public.orders
    UNION ALL SELECT 'billing_item', 'billing_item', billing_item_id, status, updated_at FROM public.billing_item
    UNION ALL SELECT 'statement', 'statement', statement_id, status, updated_at FROM public.statement
    UNION ALL SELECT 'payout', 'payout', payout_id, status, updated_at FROM public.payout
),
repaired AS (
    SELECT entity_id::bigint AS order_id, delta_minor, currency
    FROM truth.expected WHERE rule = 'silent-repair' AND entity_kind = 'order'
)
"""

ORDER_RULES: Final = (
    """
    SELECT 'missing-billing', 'order', o.order_id, o.net, 0, o.currency
    FROM owed o, clock
    WHERE o.status IN ('completed', 'refunded', 'partially_refunded') AND o.completed_at + clock.grace <= clock.now
      AND NOT EXISTS (SELECT FROM public.billing_item b WHERE b.order_id = o.order_id AND b.kind = 'sale')
    """,
    """
    SELECT 'orphan-billing', 'billing_item', b.billing_item_id, 0, b.amount, b.currency
    FROM public.billing_item b, clock
    WHERE b.created_at + clock.grace <= clock.now
      AND NOT EXISTS (SELECT FROM public.orders o WHERE o.order_id = b.order_id)
    """,
    """
    -- A silent repair is told as such, as long as the items still add up to what was billed.
    SELECT 'wrong-billing-amount', 'order', o.order_id, o.net, t.amount, o.currency
    FROM owed o
    JOIN billed t ON t.order_id = o.order_id
    WHERE t.has_sale AND NOT t.mixed AND t.amount <> o.net
      AND NOT EXISTS (
          SELECT FROM repaired r JOIN exponent e ON e.currency = r.currency
          WHERE r.order_id = o.order_id AND (t.amount - o.net) * e.factor = r.delta_minor
      )
    """,
    """
    SELECT 'missing-payout', 'billing_item', b.billing_item_id, b.amount, 0, b.currency
    FROM public.billing_item b, clock
    WHERE b.status = 'paid' AND b.updated_at + clock.grace <= clock.now
      AND NOT EXISTS (SELECT FROM lines l WHERE l.billing_item_id = b.billing_item_id AND l.has_item)
    """,
    """
    -- A line has no time of its own; it is as old as its payout at least until the payout moves on.
    SELECT 'orphan-payout', 'payout_item', l.payout_item_id, 0, l.amount, l.currency
    FROM lines l
    CROSS JOIN clock
    LEFT JOIN public.payout p ON p.payout_id = l.payout_id
    WHERE NOT l.has_item AND l.place = 1 AND coalesce(p.updated_at, '-infinity') + clock.grace <= clock.now
    """,
    """
    SELECT 'wrong-payout-amount', 'payout_item', l.payout_item_id, l.item_amount, l.amount, l.currency
    FROM lines l WHERE l.has_item AND l.place = 1 AND l.currency = l.item_currency AND l.amount <> l.item_amount
    """,
    """
    SELECT 'currency-mismatch', 'billing_item', b.billing_item_id, NULL, NULL, NULL
    FROM public.billing_item b JOIN public.orders o ON o.order_id = b.order_id WHERE b.currency <> o.currency
    """,
    """
    SELECT 'currency-mismatch', 'payout_item', l.payout_item_id, NULL, NULL, NULL
    FROM lines l WHERE l.has_item AND l.currency <> l.item_currency
    """,
    """
    SELECT 'party-mismatch', 'billing_item', b.billing_item_id, NULL, NULL, NULL
    FROM public.billing_item b JOIN public.orders o ON o.order_id = b.order_id WHERE b.shop_id <> o.shop_id
    """,
    """
    SELECT 'duplicate-billing', 'billing_item', b.billing_item_id, 0, b.amount, b.currency
    FROM public.billing_item b
    WHERE EXISTS (
        SELECT FROM public.billing_item f
        WHERE f.order_id = b.order_id AND f.kind = b.kind AND f.source_no = b.source_no
          AND f.billing_item_id < b.billing_item_id
    )
    """,
    """
    SELECT 'duplicate-payout', 'payout_item', l.payout_item_id, 0, l.amount, l.currency
    FROM lines l WHERE l.place > 1
    """,
    """
    SELECT 'status-mismatch', 'order', o.order_id, NULL, NULL, NULL
    FROM public.orders o, clock
    WHERE o.status IN ('refunded', 'partially_refunded') AND o.updated_at + clock.grace <= clock.now
      AND NOT EXISTS (
          SELECT FROM public.billing_item b WHERE b.order_id = o.order_id AND b.kind IN ('refund', 'adjustment')
      )
    """,
    """
    SELECT 'silent-repair', 'order', o.order_id, o.net, t.amount, o.currency
    FROM repaired r
    JOIN owed o ON o.order_id = r.order_id
    JOIN billed t ON t.order_id = o.order_id
    WHERE t.amount <> o.net
    """,
)

STATEMENT_RULES: Final = (
    """
    SELECT 'statement-drift', 'statement', s.statement_id, coalesce(r.amount, 0), s.amount, s.currency
    FROM public.statement s
    LEFT JOIN running r ON r.statement_id = s.statement_id AND r.currency = s.currency
    LEFT JOIN running_count c ON c.statement_id = s.statement_id
    WHERE s.amount <> coalesce(r.amount, 0) OR s.item_count <> coalesce(c.item_count, 0)
    """,
    """
    SELECT 'orphan-statement', 'statement', r.statement_id, 0, r.amount, r.currency
    FROM (SELECT DISTINCT ON (statement_id) * FROM running ORDER BY statement_id, currency) r
    JOIN running_count c ON c.statement_id = r.statement_id
    CROSS JOIN clock
    WHERE c.newest_at + clock.grace <= clock.now
      AND NOT EXISTS (SELECT FROM public.statement s WHERE s.statement_id = r.statement_id)
    """,
    """
    SELECT 'late-item', 'billing_item', b.billing_item_id, 0, b.amount, b.currency
    FROM public.billing_item b JOIN public.statement s ON s.statement_id = b.statement_id
    WHERE b.created_at > s.closed_at
    """,
    """
    SELECT 'wrong-payout-total', 'payout', p.payout_id,
           CASE WHEN p.amount <> l.amount THEN l.amount WHEN p.currency = s.currency THEN s.amount END, p.amount, p.currency
    FROM public.payout p
    JOIN paid_lines l ON l.payout_id = p.payout_id
    LEFT JOIN public.statement s ON s.statement_id = p.statement_id
    WHERE p.amount <> l.amount OR p.amount <> s.amount OR p.currency <> s.currency
    """,
    """
    SELECT 'status-mismatch', 'payout', p.payout_id, NULL, NULL, NULL
    FROM public.payout p, clock
    WHERE p.status = 'paid' AND p.updated_at + clock.grace <= clock.now
      AND EXISTS (
          SELECT FROM public.billing_item b WHERE b.statement_id = p.statement_id AND b.status = 'statemented'
      )
    """,
)

CHARGE_RULES: Final = (
    """
    -- Factors that were changed after billing are a silent repair, as long as the items still add up to what was billed.
    SELECT CASE WHEN p.order_id IS NULL THEN 'wrong-charge' ELSE 'silent-repair' END,
           'order', c.order_id, c.charge, t.amount, c.currency
    FROM (
        SELECT r.order_id, r.currency,
               round(
                   (
                       f.start_price + greatest(r.stops - f.start_stops, 0) * f.per_stop
                       + greatest(r.km - f.start_km, 0) * f.per_km + greatest(r.weight_t - f.start_weight_t, 0) * f.per_t
                       + r.reverse_stops * f.per_reverse_stop
                   ) * greatest(r.stops / 30, r.weight_t / 0.48, 1) * CASE WHEN r.is_repeat THEN 0.8 ELSE 1 END, 2
               )
               + CASE WHEN r.days > 30 THEN 1000 WHEN r.days > 25 THEN 700 WHEN r.days > 20 THEN 500 ELSE 0 END
               - r.damage AS charge
        FROM (
            SELECT o.order_id, o.currency, o.factors ->> 'vehicle' AS vehicle, (o.factors ->> 'stops')::numeric AS stops,
                   (o.factors ->> 'km')::numeric AS km, (o.factors ->> 'weight_t')::numeric AS weight_t,
                   (o.factors ->> 'reverse_stops')::numeric AS reverse_stops,
                   (o.factors ->> 'is_repeat')::boolean AS is_repeat,
                   (o.factors ->> 'attendance_days')::numeric AS days, (o.factors ->> 'damage')::numeric AS damage
            FROM public.orders o WHERE o.factors ->> 'service' = 'delivery'
        ) r
        JOIN (
            VALUES ('van', 120, 15, 40, 0.3, 3.50, 1.20, 85, 2.25), ('truck', 260, 20, 60, 1.5, 5, 2.10, 60, 4)
        ) f (
            vehicle, start_price, start_stops, start_km, start_weight_t, per_stop, per_km, per_t, per_reverse_stop
        ) ON f.vehicle = r.vehicle
    ) c
    JOIN billed t ON t.order_id = c.order_id
    JOIN exponent e ON e.currency = c.currency
    LEFT JOIN repaired p ON p.order_id = c.order_id AND (t.amount - c.charge) * e.factor = p.delta_minor
    WHERE t.has_sale AND NOT t.mixed AND t.amount <> c.charge
    """,
)

AGREEMENT_RULES: Final = (
    # No account or rule of the reference business changes once it is written: what is agreed now was agreed then.
    """
    SELECT 'rule-violation', 'payout', p.payout_id, NULL, NULL, NULL
    FROM public.payout p
    JOIN public.account a ON a.shop_id = p.shop_id
    JOIN public.rule r ON r.rule_id = a.rule_id
    WHERE r.is_hold OR p.currency <> r.payment_currency OR p.amount < r.payment_threshold
    """,
    """
    SELECT 'rule-violation', 'statement', s.statement_id, NULL, NULL, NULL
    FROM public.statement s
    JOIN public.account a ON a.shop_id = s.shop_id
    JOIN public.rule r ON r.rule_id = a.rule_id
    WHERE s.cycle <> r.cycle
       OR s.period_end + 1 <> CASE s.cycle
              WHEN 'daily' THEN s.period_start + 1
              WHEN 'weekly' THEN s.period_start + 7
              WHEN 'biweekly' THEN s.period_start + 14
              WHEN 'monthly' THEN (date_trunc('month', s.period_start) + interval '1 month')::date
          END
       OR s.cycle = 'monthly' AND extract(day FROM s.period_start) <> 1
    """,
    """
    SELECT 'release-mismatch', 'release_summary', r.release_id, coalesce(p.amount, 0), r.amount, r.currency
    FROM public.release_summary r
    LEFT JOIN LATERAL (
        SELECT count(*) AS payouts,
               sum(p.amount) FILTER (WHERE p.payment_method = r.payment_method AND p.currency = r.currency) AS amount
        FROM public.payout p WHERE p.channel_ref = 'R' || r.release_id
    ) p ON true
    WHERE r.status = 'released' AND (r.amount <> coalesce(p.amount, 0) OR r.payout_count <> p.payouts)
    """,
    """
    -- A channel that is short has one release here, so its totals now are those of the release.
    SELECT 'funding-short', 'release_summary', r.release_id, c.released, c.funded, r.currency
    FROM public.release_summary r
    JOIN (
        SELECT payment_method, currency, sum(released) AS released, sum(funded) AS funded
        FROM (
            SELECT payment_method, currency, amount AS released, 0 AS funded FROM public.release_summary
            WHERE status = 'released'
            UNION ALL
            SELECT payment_method, currency, 0, amount FROM public.funding WHERE status = 'funded'
        ) m GROUP BY payment_method, currency
    ) c ON c.payment_method = r.payment_method AND c.currency = r.currency
    WHERE r.status = 'released' AND c.funded < c.released
    """,
)

ROW_RULES: Final = (
    """
    SELECT 'illegal-transition', e.entity_kind, e.entity_id::bigint, NULL, NULL, NULL
    FROM truth.expected e WHERE e.rule = 'illegal-transition'
    """,
    """
    SELECT 'stuck', w.entity_kind, w.id, NULL, NULL, NULL
    FROM watched w
    JOIN jsonb_each_text(%(limits)s::jsonb) AS t (state, seconds) ON t.state = w.name || '.' || w.status
    CROSS JOIN clock
    WHERE w.updated_at + make_interval(secs => t.seconds::double precision) <= clock.now
    """,
)

EXPECTED_FINDINGS: Final = (
    # One statement, so that all rules see one snapshot of the books.
    "WITH exponent AS (SELECT * FROM unnest(%(currencies)s::text[], %(factors)s::numeric[]) AS e (currency, factor)),"
    + COMMON
    + "UNION ALL".join((*ORDER_RULES, *CHARGE_RULES, *STATEMENT_RULES, *AGREEMENT_RULES, *ROW_RULES))
)

TOTALS: Final = """
SELECT statement_id, currency, count(*), sum(amount) FROM public.billing_item
GROUP BY statement_id, currency ORDER BY statement_id, currency
"""
