//! The six ways to use TLS, with libpq's names and meanings.

use std::fmt;
use std::str::FromStr;

/// Whether to encrypt the connection, and what to check of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No encryption.
    Disable,
    /// Without encryption; with it where the server insists. Nothing is checked.
    Allow,
    /// With encryption; without it where the server has none. Nothing is checked.
    #[default]
    Prefer,
    /// With encryption or not at all. Nothing is checked, unless a CA file is given: then as
    /// [`VerifyCa`](Self::VerifyCa).
    Require,
    /// With encryption; the certificate must come from a trusted authority.
    VerifyCa,
    /// With encryption; the certificate must come from a trusted authority and name this host.
    VerifyFull,
}

impl SslMode {
    /// The word for this mode in configuration and URLs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no ssl mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ssl mode: write disable, allow, prefer, require, verify-ca or verify-full")]
pub struct UnknownSslMode;

impl FromStr for SslMode {
    type Err = UnknownSslMode;

    fn from_str(text: &str) -> Result<Self, UnknownSslMode> {
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(UnknownSslMode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_six_modes_are_read_and_others_are_told_which_there_are() {
        for text in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            assert_eq!(text.parse::<SslMode>().unwrap().as_str(), text);
        }
        let error = "verify_full".parse::<SslMode>().unwrap_err().to_string();
        assert_eq!(error, "not an ssl mode: write disable, allow, prefer, require, verify-ca or verify-full");
    }
}
