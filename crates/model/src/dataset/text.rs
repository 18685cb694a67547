//! Texts as samples: the vocabulary of characters, and tokens as they are stored.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Largest vocabulary whose tokens take one byte each.
const NARROW_VOCABULARY: usize = 256;
/// Tokens are 16 bits.
const MAX_VOCABULARY: usize = 65_536;

/// All bytes.
const BYTES: u16 = 256;

/// What the tokens of a text stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub enum Vocabulary {
    /// The different characters of a text in the order of their code points; a character's token is its place.
    Characters(Vec<char>),
    /// The 256 bytes, in which any file can be written; a byte's token is its value.
    Bytes,
}

/// In a manifest: the string of the characters, or the number of bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Characters(String),
    Bytes { bytes: u16 },
}

impl Vocabulary {
    /// The vocabulary of a text; none where it has more than 65,536 different characters.
    pub fn of(text: &str) -> Option<Self> {
        let mut seen = BTreeSet::new();
        // Almost every character is one that came before: the set is asked once for each new ASCII one only.
        let mut is_known = [false; 128];
        for character in text.chars() {
            match is_known.get_mut(character as usize) {
                Some(known) if *known => continue,
                Some(known) => *known = true,
                None => {}
            }
            seen.insert(character);
        }
        (seen.len() <= MAX_VOCABULARY).then(|| Self::Characters(seen.into_iter().collect()))
    }

    /// Number of different tokens.
    pub fn len(&self) -> usize {
        match self {
            Self::Characters(characters) => characters.len(),
            Self::Bytes => usize::from(BYTES),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The characters, ascending; none where tokens are bytes.
    pub fn characters(&self) -> &[char] {
        match self {
            Self::Characters(characters) => characters,
            Self::Bytes => &[],
        }
    }

    /// A character's token, if it has one of its own.
    pub fn token(&self, character: char) -> Option<u16> {
        match self {
            Self::Characters(characters) => {
                let place = characters.binary_search(&character).ok()?;
                u16::try_from(place).ok()
            }
            Self::Bytes => u8::try_from(character)
                .ok()
                .filter(u8::is_ascii)
                .map(u16::from),
        }
    }

    /// The text that a token adds to those before it. Bytes wait in `pending` until they make a character; what
    /// can't become one is replaced by U+FFFD.
    pub fn decode(&self, token: u16, pending: &mut Vec<u8>) -> String {
        match self {
            Self::Characters(characters) => {
                let character = characters.get(usize::from(token));
                character.map(char::to_string).unwrap_or_default()
            }
            Self::Bytes => {
                pending.push(token.to_le_bytes()[0]);
                decode_bytes(pending)
            }
        }
    }

    /// The tokens of a text, or the first character that is not in the vocabulary.
    ///
    /// # Errors
    /// That character.
    pub fn encode(&self, text: &str) -> Result<Tokens, char> {
        if *self == Self::Bytes {
            return Ok(Tokens::Narrow(text.as_bytes().to_vec()));
        }
        let tokens = text
            .chars()
            .map(|character| self.token(character).ok_or(character));
        if self.token_bytes() == 1 {
            let narrow = tokens.map(|token| token.map(|token| token.to_le_bytes()[0]));
            narrow.collect::<Result<_, _>>().map(Tokens::Narrow)
        } else {
            tokens.collect::<Result<_, _>>().map(Tokens::Wide)
        }
    }

    /// Bytes of a stored token.
    pub fn token_bytes(&self) -> usize {
        if self.len() <= NARROW_VOCABULARY {
            1
        } else {
            2
        }
    }

    /// Reads stored tokens.
    pub(super) fn read_tokens(&self, bytes: &[u8]) -> Tokens {
        if self.token_bytes() == 1 {
            return Tokens::Narrow(bytes.to_vec());
        }
        let (pairs, _) = bytes.as_chunks();
        Tokens::Wide(pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect())
    }
}

/// Takes the characters out of bytes that are complete.
fn decode_bytes(pending: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        let (valid, wrong) = match std::str::from_utf8(pending) {
            Ok(_) => (pending.len(), 0),
            // The end may be the beginning of a character.
            Err(error) => (error.valid_up_to(), error.error_len().unwrap_or(0)),
        };
        text.push_str(&String::from_utf8_lossy(&pending[..valid]));
        pending.drain(..valid + wrong);
        if wrong == 0 {
            return text;
        }
        text.push(char::REPLACEMENT_CHARACTER);
    }
}

impl TryFrom<Stored> for Vocabulary {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let text = match stored {
            Stored::Characters(text) => text,
            Stored::Bytes { bytes: BYTES } => return Ok(Self::Bytes),
            Stored::Bytes { .. } => return Err("a vocabulary of bytes has 256 of them"),
        };
        let characters: Vec<char> = text.chars().collect();
        if characters.len() > MAX_VOCABULARY {
            Err("a vocabulary has at most 65536 characters")
        } else if !characters.is_sorted_by(|a, b| a < b) {
            Err("a vocabulary has each character once, ascending")
        } else {
            Ok(Self::Characters(characters))
        }
    }
}

impl From<Vocabulary> for Stored {
    fn from(vocabulary: Vocabulary) -> Self {
        match vocabulary {
            Vocabulary::Characters(characters) => {
                Self::Characters(characters.into_iter().collect())
            }
            Vocabulary::Bytes => Self::Bytes { bytes: BYTES },
        }
    }
}

/// Consecutive tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokens {
    /// Of a vocabulary of up to 256 characters.
    Narrow(Vec<u8>),
    /// Of a larger one.
    Wide(Vec<u16>),
}

impl Tokens {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(tokens) => tokens.len(),
            Self::Wide(tokens) => tokens.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of some of them.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Narrow(tokens) => Self::Narrow(tokens[range].to_vec()),
            Self::Wide(tokens) => Self::Wide(tokens[range].to_vec()),
        }
    }

    /// The largest of them.
    pub(super) fn max(&self) -> Option<u16> {
        match self {
            Self::Narrow(tokens) => tokens.iter().copied().max().map(u16::from),
            Self::Wide(tokens) => tokens.iter().copied().max(),
        }
    }

    /// As stored: one byte each, or two with the low one first.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Narrow(tokens) => tokens.clone(),
            Self::Wide(tokens) => tokens
                .iter()
                .flat_map(|token| token.to_le_bytes())
                .collect(),
        }
    }

    /// Appends `context` tokens from `first` to `inputs`, and to `labels` those that follow each of them.
    pub(crate) fn push_window(
        &self,
        first: usize,
        context: usize,
        inputs: &mut Vec<f32>,
        labels: &mut Vec<u16>,
    ) {
        let (from, next) = (first..first + context, first + 1..first + context + 1);
        match self {
            Self::Narrow(tokens) => {
                inputs.extend(tokens[from].iter().map(|&token| f32::from(token)));
                labels.extend(tokens[next].iter().map(|&token| u16::from(token)));
            }
            Self::Wide(tokens) => {
                inputs.extend(tokens[from].iter().map(|&token| f32::from(token)));
                labels.extend_from_slice(&tokens[next]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_has_each_character_once_in_order() {
        let vocabulary = Vocabulary::of("nie ohne Seife — nie").unwrap();
        assert_eq!(
            vocabulary.characters().iter().collect::<String>(),
            " Sefhino—"
        );
        assert_eq!(vocabulary.token('e'), Some(2));
        assert_eq!(vocabulary.token('z'), None);
        assert_eq!(vocabulary.encode("Sz"), Err('z'));
        let json = serde_json::to_string(&vocabulary).unwrap();
        assert_eq!(json, "\" Sefhino—\"");
        assert_eq!(
            serde_json::from_str::<Vocabulary>(&json).unwrap(),
            vocabulary
        );
        for bad in ["\"ba\"", "\"aa\"", "1", "{\"bytes\":255}"] {
            assert!(serde_json::from_str::<Vocabulary>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_become_text_when_a_character_is_complete() {
        let vocabulary = Vocabulary::Bytes;
        let json = serde_json::to_string(&vocabulary).unwrap();
        assert_eq!(json, "{\"bytes\":256}");
        assert_eq!(
            serde_json::from_str::<Vocabulary>(&json).unwrap(),
            vocabulary
        );
        assert_eq!((vocabulary.len(), vocabulary.token_bytes()), (256, 1));
        assert_eq!(vocabulary.encode("é"), Ok(Tokens::Narrow(vec![0xc3, 0xa9])));
        let tokens = ['a', '\n', 'é'].map(|character| vocabulary.token(character));
        assert_eq!(tokens, [Some(97), Some(10), None]);
        let mut pending = Vec::new();
        let written = [0x61, 0xc3, 0xa9, 0xff, 0xc3, 0x62, 0xe2, 0x82, 0xac]
            .map(|token| vocabulary.decode(token, &mut pending));
        assert_eq!(
            written,
            ["a", "", "é", "\u{fffd}", "", "\u{fffd}b", "", "", "€"]
        );
    }

    #[test]
    fn large_vocabularies_take_two_bytes() {
        let text: String = (0..300)
            .filter_map(|n| char::from_u32(0x4e00 + n))
            .collect();
        let vocabulary = Vocabulary::of(&text).unwrap();
        let tokens = vocabulary.encode(&text).unwrap();
        assert_eq!((vocabulary.token_bytes(), tokens.max()), (2, Some(299)));
        let bytes = tokens.to_bytes();
        assert_eq!(bytes.len(), 600);
        assert_eq!(vocabulary.read_tokens(&bytes), tokens);
    }

    #[test]
    fn a_window_has_the_next_tokens_as_labels() {
        for tokens in [
            Tokens::Narrow(vec![5, 6, 7, 8, 9]),
            Tokens::Wide(vec![5, 6, 7, 8, 9]),
        ] {
            let (mut inputs, mut labels) = (Vec::new(), Vec::new());
            tokens.push_window(2, 2, &mut inputs, &mut labels);
            assert_eq!((inputs, labels), (vec![7.0, 8.0], vec![8, 9]));
        }
    }
}
