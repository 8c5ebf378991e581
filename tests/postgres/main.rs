//! What the PostgreSQL store promises beyond the ports: its statements, its connections, its failures.
#![cfg(test)]

mod analytics;
mod archive;
mod audit;
mod coalescing;
mod connection;
mod doctor;
mod every_message;
mod failover;
mod hold;
mod lost_answer;
mod plan;
mod pooler;
mod refusal;
mod resilience;
mod retention;
mod round_trip;
mod row_level_security;
mod search;
mod ssl;
mod status;
mod summary;
mod support;
mod two_batches;
