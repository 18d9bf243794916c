-- What may still be issued moves: to another bucket (lend), to a later round (roll), out of use (burned) and back (release).

-- The permanent record of moves of prize IDs. `out` left this bucket and round, `in` came to it; one row for each run of IDs of a
-- move. The IDs that a bucket owns in a round are those generated for it, and those that came in, without those that went out.
CREATE TABLE range_moves (
  move_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  direction VARCHAR(4) CHARACTER SET ascii NOT NULL,
  part INT UNSIGNED NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii NOT NULL,
  round_id SMALLINT UNSIGNED NOT NULL,
  peer_bucket VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  peer_round_id SMALLINT UNSIGNED NOT NULL,
  lo BIGINT UNSIGNED NOT NULL,
  id_count INT UNSIGNED NOT NULL,
  amount_minor BIGINT UNSIGNED NOT NULL,
  moved_at DATETIME(3) NOT NULL,
  PRIMARY KEY (move_id, direction, part),
  KEY by_round (round_id, direction)
) ENGINE = InnoDB;

-- IDs that a rebuild took out of use because they may have been given to someone whose claim was lost. state is burned, restored (a
-- receipt or a late journal entry proved whose it is; the claim stands in claims) or released (it may be issued again).
CREATE TABLE burned (
  prize_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  round_id SMALLINT UNSIGNED NOT NULL,
  amount_minor BIGINT UNSIGNED NOT NULL,
  epoch VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(8) CHARACTER SET ascii NOT NULL,
  burned_at DATETIME(3) NOT NULL,
  KEY by_round (round_id, state)
) ENGINE = InnoDB;
