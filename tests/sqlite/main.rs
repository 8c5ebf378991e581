//! The SQLite store on real files: what it promises when the disk, the file or a process fails.
#![cfg(test)]

mod audit;
mod disk;
mod erasure;
mod journal;
mod journal_slot;
mod migration;
mod process;
mod row;
mod search;
mod store;
mod support;
