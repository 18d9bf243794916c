-- Paying what was won: who was paid, the built-in ledger and order book, and what operators said of single users.

-- One row for each claim that payout has decided on; a claim without a row is pending. next_at says when a pending one is due
-- (again), lease whose answer counts while it is being sent, granted whether it is booked on the round's budget in payout_totals.
CREATE TABLE payouts (
  prize_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  round_id SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  state ENUM('pending', 'paid', 'dead', 'held') NOT NULL DEFAULT 'pending',
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  amount_minor BIGINT UNSIGNED NOT NULL DEFAULT 0,
  granted TINYINT NOT NULL DEFAULT 0,
  next_at DATETIME(3) NULL,
  accepted_at DATETIME(3) NULL,
  paid_at DATETIME(3) NULL,
  lease CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  reason VARCHAR(255) NULL,
  KEY due (state, next_at)
) ENGINE = InnoDB;

-- Runs of prize IDs that were claimed and not looked at yet: persist adds a few rows to each bulk insert, payout takes them away.
CREATE TABLE payout_feed (
  feed_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  lo BIGINT UNSIGNED NOT NULL,
  id_count INT UNSIGNED NOT NULL
) ENGINE = InnoDB;

-- What was released for payment, by round: the budget guard's books.
CREATE TABLE payout_totals (
  round_id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  granted_count BIGINT UNSIGNED NOT NULL,
  granted_minor BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

-- Double entry: each prize is one credit of a user and one debit of the company, so that all balances together are 0. The
-- database holds one event, so the prize ID is the idempotency key.
CREATE TABLE ledger_entries (
  prize_id BIGINT UNSIGNED NOT NULL,
  side ENUM('credit', 'debit') NOT NULL,
  account VARCHAR(72) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount_minor BIGINT NOT NULL,
  booked_at DATETIME(3) NOT NULL,
  PRIMARY KEY (prize_id, side)
) ENGINE = InnoDB;

-- The company's account is `company`, a user's `user:ID`.
CREATE TABLE ledger_accounts (
  account VARCHAR(72) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  balance_minor BIGINT NOT NULL
) ENGINE = InnoDB;

-- The order book for items when no order system is named in the topology.
CREATE TABLE orders (
  prize_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  round_id SMALLINT UNSIGNED NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sku VARCHAR(64) NOT NULL,
  price_minor BIGINT UNSIGNED NOT NULL,
  placed_at DATETIME(3) NOT NULL
) ENGINE = InnoDB;

-- Late joiners and cheaters; round 0 is every round. The whole set has one version, in user_rules_version.
CREATE TABLE user_rules (
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  round_id SMALLINT UNSIGNED NOT NULL,
  rule ENUM('allow', 'deny') NOT NULL,
  PRIMARY KEY (user_id, round_id)
) ENGINE = InnoDB;

CREATE TABLE user_rules_version (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  v BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

INSERT INTO user_rules_version (id, v) VALUES (1, 0);
