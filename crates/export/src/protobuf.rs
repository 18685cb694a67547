//! Messages of Protocol Buffers, written field by field.
//!
//! A field is a key, `number << 3 | wire type`, and a value; integers have seven bits a byte, lowest first. That is
//! all that writing takes. The numbers are with those who write: `crate::onnx::proto`, and the server's event files.

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// A message, or what there is of it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// Appends an integer or the number of an enum's variant.
    #[must_use]
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, VARINT);
        self.varint(value.cast_unsigned());
        self
    }

    /// Appends each of some integers as a field of its own.
    #[must_use]
    pub fn ints(self, field: u32, values: &[i64]) -> Self {
        values
            .iter()
            .fold(self, |message, &value| message.int(field, value))
    }

    /// Appends a `float`.
    #[must_use]
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends a `double`.
    #[must_use]
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, FIXED_64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends bytes.
    #[must_use]
    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a text.
    #[must_use]
    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Appends a message within the message.
    #[must_use]
    pub fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// The message as others read it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_the_format_wants_them() {
        let check = |message: Message, expected: &[u8]| assert_eq!(message.into_bytes(), expected);
        // The two examples of the format's own description.
        check(Message::default().int(1, 150), &[0x08, 0x96, 0x01]);
        check(
            Message::default().text(2, "testing"),
            &[0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67],
        );
        let minus_two = [
            0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        check(Message::default().int(1, -2), &minus_two);
        check(
            Message::default().ints(16, &[0, 127]),
            &[0x80, 1, 0, 0x80, 1, 127],
        );
        check(Message::default().float(3, 1.0), &[0x1d, 0, 0, 0x80, 0x3f]);
        check(
            Message::default().double(1, 1.0),
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        );
        let inner = Message::default().int(1, 150);
        check(
            Message::default().message(3, &inner),
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
        );
    }
}
