//! What happens while the database is gone.
