CREATE FUNCTION refuse_unknown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%.% has an unknown value', TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;
