//! Conversations out of a store and into one: to files and from files, and from what other systems have.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`compression`] | what a file's name says of how it is compressed |
//! | [`export`] | a store into a file |
//! | [`arrival`] | what comes from a source, in batches |
//! | [`file`](mod@file) | a file as a source |
//! | [`source`] | what other systems have, as sources |
//! | [`import`] | what comes from a source, into a store |

pub mod arrival;
pub mod compression;
pub mod export;
pub mod file;
pub mod import;
pub mod source;
