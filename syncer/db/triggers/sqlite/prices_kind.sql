CREATE TRIGGER prices_kind BEFORE INSERT ON prices
WHEN NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'reread')
BEGIN SELECT RAISE(ABORT, 'prices.kind has an unknown value'); END;
