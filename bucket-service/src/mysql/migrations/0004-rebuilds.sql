-- What each rebuild did to a round: how many IDs it took out of use and why. holes were skipped before the last persisted claim;
-- beyond may have been issued after it. left_count is what the round could still give. The IDs stand in burned.

CREATE TABLE rebuilds (
  epoch VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  round_id SMALLINT UNSIGNED NOT NULL,
  holes INT UNSIGNED NOT NULL,
  holes_minor BIGINT UNSIGNED NOT NULL,
  beyond INT UNSIGNED NOT NULL,
  beyond_minor BIGINT UNSIGNED NOT NULL,
  left_count INT UNSIGNED NOT NULL,
  left_minor BIGINT UNSIGNED NOT NULL,
  rebuilt_at DATETIME(3) NOT NULL,
  PRIMARY KEY (epoch, round_id)
) ENGINE = InnoDB;
