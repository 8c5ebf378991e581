-- A constraint that has been validated stays so: there is nothing to take back.
SELECT 1;
