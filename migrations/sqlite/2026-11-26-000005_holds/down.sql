DROP TABLE retention_overrides;
DROP TABLE holds;
