-- What an event is made of and what was given. Only what MySQL 8.4 and MariaDB 10.11 share. One statement ends with a semicolon at a line's end.

CREATE TABLE meta (
  name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  value VARCHAR(255) NOT NULL
) ENGINE = InnoDB;

-- Times are milliseconds since 1970; NULL is "by command only". opened says that a key was installed once: from then on only rebuild may fill Redis.
CREATE TABLE rounds (
  round_id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  kind VARCHAR(8) CHARACTER SET ascii NOT NULL,
  per_user INT UNSIGNED NOT NULL,
  v BIGINT UNSIGNED NOT NULL,
  opens_at_ms BIGINT NULL,
  closes_at_ms BIGINT NULL,
  opened TINYINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- The IDs that this bucket may issue in a round, in the order in which it uses them.
CREATE TABLE ranges (
  round_id SMALLINT UNSIGNED NOT NULL,
  ordinal INT UNSIGNED NOT NULL,
  lo BIGINT UNSIGNED NOT NULL,
  id_count INT UNSIGNED NOT NULL,
  origin VARCHAR(16) CHARACTER SET ascii NOT NULL,
  PRIMARY KEY (round_id, ordinal),
  UNIQUE KEY (lo)
) ENGINE = InnoDB;

-- Stays where, and for which round, a prize was generated.
CREATE TABLE prizes (
  prize_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  round_id SMALLINT UNSIGNED NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii NOT NULL,
  amount_minor BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;

-- The round is the one that the prize was won in. claimed_at is the time of this bucket's Redis, in UTC.
CREATE TABLE claims (
  prize_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  round_id SMALLINT UNSIGNED NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  n INT UNSIGNED NOT NULL,
  amount_minor BIGINT UNSIGNED NOT NULL,
  claimed_at DATETIME(3) NOT NULL,
  UNIQUE KEY once_per_user (round_id, user_id, n),
  KEY by_user (user_id)
) ENGINE = InnoDB;

-- Claims from the journal that contradict a row of claims: kept for people to judge, never swallowed.
CREATE TABLE claim_conflicts (
  conflict_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  prize_id BIGINT UNSIGNED NOT NULL,
  round_id SMALLINT UNSIGNED NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  n INT UNSIGNED NOT NULL,
  amount_minor BIGINT UNSIGNED NOT NULL,
  claimed_at DATETIME(3) NOT NULL,
  journal_entry VARCHAR(64) CHARACTER SET ascii NOT NULL,
  UNIQUE KEY (journal_entry, prize_id)
) ENGINE = InnoDB;
