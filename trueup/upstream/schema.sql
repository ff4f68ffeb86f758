-- What the source database has beside the tables of trueup.model.tables: indexes, and the truth about planted faults.
-- No foreign keys across legs: in reality orders, billing and payouts live in databases of their own.

-- The business key is no UNIQUE index: shards cannot enforce one across each other. trueup checks it instead.
CREATE INDEX IF NOT EXISTS billing_item_business_key ON public.billing_item (order_id, kind, source_no);
CREATE INDEX IF NOT EXISTS billing_item_statement ON public.billing_item (statement_id);
CREATE INDEX IF NOT EXISTS payout_item_payout ON public.payout_item (payout_id);
CREATE INDEX IF NOT EXISTS payout_item_billing_item ON public.payout_item (billing_item_id);
CREATE INDEX IF NOT EXISTS payout_statement ON public.payout (statement_id);
CREATE INDEX IF NOT EXISTS payout_reference ON public.payout (channel_ref);

CREATE SCHEMA IF NOT EXISTS truth;
COMMENT ON SCHEMA truth IS 'What was planted and what must be found; never published';

CREATE TABLE IF NOT EXISTS truth.fault (
    fault_id text PRIMARY KEY,
    kind text NOT NULL,
    planted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note text NOT NULL
);
CREATE TABLE IF NOT EXISTS truth.expected (
    fault_id text NOT NULL REFERENCES truth.fault,
    rule text NOT NULL,
    entity_kind text NOT NULL,
    entity_id text NOT NULL,
    delta_minor numeric(38, 0),
    currency text,
    must_stay_open boolean NOT NULL,
    PRIMARY KEY (fault_id, rule, entity_kind, entity_id)
);
COMMENT ON COLUMN truth.expected.delta_minor IS 'actual minus expected, in minor units; NULL where a rule compares no amounts';

CREATE TABLE IF NOT EXISTS truth.trap (
    trap_id text NOT NULL,
    kind text NOT NULL,
    note text NOT NULL,
    rule text NOT NULL,
    entity_kind text NOT NULL,
    entity_id text NOT NULL,
    expectation text NOT NULL CHECK (expectation IN ('never-raised', 'raised-then-resolved')),
    PRIMARY KEY (trap_id, rule, entity_kind, entity_id)
);
