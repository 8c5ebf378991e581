DROP TABLE journal_conflicts;
DROP TABLE journal_entries;
