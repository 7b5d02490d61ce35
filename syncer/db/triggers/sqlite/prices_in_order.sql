-- INSERT OR REPLACE deletes without firing the delete trigger: it is stopped where it would insert.
CREATE TRIGGER prices_in_order BEFORE INSERT ON prices
WHEN EXISTS (SELECT 1 FROM prices
  WHERE model_id = NEW.model_id AND component = NEW.component AND effective_at >= NEW.effective_at)
BEGIN SELECT RAISE(ABORT, 'prices is append-only'); END;
