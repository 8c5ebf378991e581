//! What the PostgreSQL store promises beyond the ports: its statements, its connections, its failures.

mod conformance;
mod support;
