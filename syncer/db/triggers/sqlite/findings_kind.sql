CREATE TRIGGER findings_kind BEFORE INSERT ON findings
WHEN NEW.kind NOT IN (
  'moved_source', 'partial', 'nameless', 'required', 'removals', 'shape', 'unit_change', 'prices_gone',
  'mass_repricing', 'implausible_price', 'reverted')
BEGIN SELECT RAISE(ABORT, 'findings.kind has an unknown value'); END;
