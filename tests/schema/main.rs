//! The schema: what it is, that each way to make it makes the same, and that replicas may make it at once.

#![cfg(test)]

mod concurrency;
mod erasure;
mod expected;
mod postgres;
mod sqlite;
mod tool;
