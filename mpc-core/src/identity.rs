//! Long-term identities: an Ed25519 key made where it is used, known to others by the hash of its public half.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::SignatureScheme;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER): what a network file pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin(pub [u8; 32]);

/// The public half of an identity: 32 bytes, which make its [`Pin`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

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
    public: PublicKey,
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
        let public = PublicKey::from_spki(&spki).ok_or(IdentityError::Key)?;
        let certified = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key));
        Ok(Self { pkcs8, certified, public })
    }

    /// The private key in PKCS#8 form, for the owner's key file.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What others know this key by.
    pub fn pin(&self) -> Pin {
        self.public.pin()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Signs a message for one purpose: an Ed25519 signature (RFC 8032) of "consilium ‹purpose›", a zero byte and the
    /// message. TLS signs bytes that begin with spaces, so that no signature of the one kind is one of the other.
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        // The key was parsed as Ed25519, which has this scheme, always signs, and makes 64 bytes.
        let signer = self.certified.key.choose_scheme(&[SignatureScheme::ED25519]).expect("an Ed25519 key");
        let signature = signer.sign(&for_purpose(purpose, message)).expect("Ed25519 signs any message");
        signature.try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// The key as TLS takes it: a raw public key (RFC 7250), no certificate.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.pin())
    }
}

impl PublicKey {
    /// From its SubjectPublicKeyInfo.
    fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    /// What others know this key by.
    pub fn pin(&self) -> Pin {
        Pin::of(&[SPKI_PREFIX.as_slice(), &self.0].concat())
    }

    /// Is this the signature that [`Identity::sign`] makes?
    pub fn verify(&self, purpose: &str, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&for_purpose(purpose, message), signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.pin())
    }
}

fn for_purpose(purpose: &str, message: &[u8]) -> Vec<u8> {
    [b"consilium ", purpose.as_bytes(), b"\0", message].concat()
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
    fn a_signature_holds_for_its_key_its_purpose_and_its_message_only() {
        let identity = Identity::generate().unwrap();
        let (key, other) = (identity.public_key(), Identity::generate().unwrap().public_key());
        let signature = identity.sign("test", b"message");
        assert!(key.verify("test", b"message", &signature));
        assert!(!key.verify("test", b"massage", &signature));
        assert!(!key.verify("tes", b"tmessage", &signature));
        assert!(!other.verify("test", b"message", &signature));
        assert!(!key.verify("test", b"message", &signature[1..]));
        assert_eq!(key.pin(), identity.pin());
    }

    #[test]
    fn garbage_is_no_key() {
        assert_eq!(Identity::from_pkcs8(vec![1, 2, 3]).unwrap_err(), IdentityError::Key);
        assert_eq!("zz".parse::<Pin>(), Err(IdentityError::Pin));
    }
}
