DROP TABLE retention_pace;
