//! The public keys of a JWK set that can show who made a token.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The shortest RSA modulus that is taken, in bytes.
const MIN_RSA_BYTES: usize = 256;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The keys of a set.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

/// One key, and what it may be used for.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The algorithms of its kind, or the one that the set says. Never one with a shared secret: the key is
    /// public, and whoever has it could sign with it.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// What a set has for a token.
pub(super) enum Found<'a> {
    /// The key that is named, or the only one that it can be.
    Key(&'a Key),
    /// No key of that name.
    Nothing,
    /// The token names none, and there are several.
    Several,
}

impl KeySet {
    /// Reads a set. What is in it besides signature keys of a kind that is known here is left out.
    ///
    /// # Errors
    /// A sentence, where it is no set or none of it can be used.
    pub(super) fn parse(json: &[u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "it is no JWK set")?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
        if keys.is_empty() { Err("it holds no public key for signatures") } else { Ok(Self(keys)) }
    }

    /// The key that a token names by `id`. Of several with one name none is taken, as in LCS.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let mut keys = self.0.iter().filter(|key| match id {
            Some(_) => key.id.as_deref() == id,
            None => key.algorithms.contains(&algorithm),
        });
        match (keys.next(), keys.next()) {
            (Some(key), None) => Found::Key(key),
            (None, _) => Found::Nothing,
            (Some(_), Some(_)) => Found::Several,
        }
    }
}

fn key(jwk: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        let only = Algorithm::try_from(only).ok()?;
        algorithms.retain(|algorithm| *algorithm == only);
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty() && is_strong(&decoding)).then_some(Key {
        id: jwk.common.key_id,
        algorithms,
        decoding,
    })
}

fn is_strong(key: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind;

    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            n.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA_BYTES
        }
        DecodingKeyKind::SecretOrDer(_) => true,
    }
}
