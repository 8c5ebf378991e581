//! What the PostgreSQL store promises beyond the ports: its statements, its connections, its failures.

mod connection;
mod doctor;
mod plan;
mod refusal;
mod resilience;
mod retention;
mod round_trip;
mod ssl;
mod support;
