//! The SQLite store on real files: what it promises when the disk, the file or a process fails.

mod store;
mod support;
