//! Long-term identities: an Ed25519 key made where it is used, known to others by the hash of its public half.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER): what a network file pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin(pub [u8; 32]);

/// Why an identity cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// Not a key we made.
    #[error("not an Ed25519 key in PKCS#8 form")]
    Key,
    /// Not 64 hexadecimal digits.
    #[error("a key pin is 64 hexadecimal digits")]
    Pin,
}

/// A key pair.
pub struct Identity {
    pkcs8: Zeroizing<Vec<u8>>,
    certified: Arc<CertifiedKey>,
    pin: Pin,
}

impl Identity {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| IdentityError::Random)?;
        Self::from_pkcs8(document.as_ref().to_vec())
    }

    /// The key of a key file.
    pub fn from_pkcs8(bytes: Vec<u8>) -> Result<Self, IdentityError> {
        let pkcs8 = Zeroizing::new(bytes);
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        let key = rustls::crypto::ring::sign::any_eddsa_type(match &der {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => return Err(IdentityError::Key),
        })
        .map_err(|_| IdentityError::Key)?;
        let spki = key.public_key().ok_or(IdentityError::Key)?.to_vec();
        let pin = Pin::of(&spki);
        let certified = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key));
        Ok(Self { pkcs8, certified, pin })
    }

    /// The private key in PKCS#8 form, for the owner's key file.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What others know this key by.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], |spki| spki.as_ref())
    }

    /// Signs a message (Ed25519, RFC 8032). Messages of different meaning start with different words.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8).expect("the key was read before");
        Signature(key.sign(message).as_ref().to_vec())
    }

    /// The key as TLS takes it: a raw public key (RFC 7250), no certificate.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

/// An Ed25519 signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// Did the owner of this public key (SubjectPublicKeyInfo, DER) sign this message?
    pub fn verify(&self, public_key: &[u8], message: &[u8]) -> bool {
        let Some(key) = public_key.strip_prefix(ED25519_SPKI) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(message, &self.0).is_ok()
    }
}

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.pin)
    }
}

impl Pin {
    /// The pin of a public key in SubjectPublicKeyInfo form.
    pub fn of(spki: &[u8]) -> Self {
        Pin(Sha256::digest(spki).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(IdentityError::Pin);
        }
        let mut pin = [0; 32];
        for (byte, digits) in pin.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| IdentityError::Pin)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| IdentityError::Pin)?;
        }
        Ok(Pin(pin))
    }
}

impl TryFrom<String> for Pin {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_is_the_same_identity() {
        let identity = Identity::generate().unwrap();
        let again = Identity::from_pkcs8(identity.pkcs8().to_vec()).unwrap();
        assert_eq!(identity.pin(), again.pin());
        assert_eq!(identity.pin().to_string().parse(), Ok(identity.pin()));
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let signature = one.sign(b"message");
        assert!(signature.verify(one.public_key(), b"message"));
        assert!(!signature.verify(one.public_key(), b"massage"));
        assert!(!signature.verify(other.public_key(), b"message"));
        assert!(!signature.verify(b"", b"message"));
        assert_eq!(Pin::of(one.public_key()), one.pin());
    }

    #[test]
    fn garbage_is_no_key() {
        assert_eq!(Identity::from_pkcs8(vec![1, 2, 3]).unwrap_err(), IdentityError::Key);
        assert_eq!("zz".parse::<Pin>(), Err(IdentityError::Pin));
    }
}
