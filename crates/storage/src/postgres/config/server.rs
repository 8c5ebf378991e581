//! Where a server is, and what it has to be.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One of the servers that a database may be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its host name or address; a path that begins with `/` is the folder of its Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// Whether the connection never leaves this machine.
    pub(in crate::postgres) fn is_local(&self) -> bool {
        self.is_socket()
            || self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether the host is the folder of a Unix socket: there is nothing to encrypt.
    pub(in crate::postgres) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Where the server is, for people.
    pub(in crate::postgres) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// What a server has to be to be connected to, with libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Whatever it is.
    Any,
    /// One that takes writes: no standby, and not set to read only.
    ReadWrite,
}

impl TargetSessionAttrs {
    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
        }
    }
}

impl fmt::Display for TargetSessionAttrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TargetSessionAttrs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Any, Self::ReadWrite]
            .into_iter()
            .find(|target| target.as_str() == text)
            .ok_or("not known here: write read-write or any")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_sockets_are_local() {
        let at = |host: &str| Server { host: host.into(), port: 5432 };
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql"] {
            assert!(at(host).is_local(), "{host}");
        }
        for host in ["db", "10.0.0.1", "localhost.example.org", "::2"] {
            assert!(!at(host).is_local(), "{host}");
        }
    }
}
