//! The words of a condition and their places.

use super::ParseError;

/// A word and where it begins, in characters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Number(f64),
    /// In lower case.
    Name(String),
    /// `+`, `<=` and the like.
    Sign(&'static str),
}

const SIGNS: [&str; 15] = ["<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "(", ")", ","];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let rest = || chars.get(at..).unwrap_or_default();
        let (kind, len) = if c.is_ascii_digit() || c == '.' {
            number(rest(), at)?
        } else if c.is_alphabetic() || c == '_' {
            let name: String = rest().iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            let len = name.chars().count();
            (TokenKind::Name(name.to_lowercase()), len)
        } else if let Some(sign) = SIGNS.iter().find(|sign| sign.chars().eq(rest().iter().copied().take(sign.len()))) {
            (TokenKind::Sign(sign), sign.len())
        } else {
            let hint = match c {
                '=' => "Compare with `==`, or with `<`, `<=`, `>`, `>=`.",
                '^' => "There is no power: multiply, as in `nir * nir`.",
                _ => "A condition has numbers, names of bands and indices, + - * / ( ), comparisons, and, or, not.",
            };
            return Err(ParseError {
                offset: at,
                len: 1,
                message: format!("the character {c:?} has no meaning in a condition"),
                hint: hint.to_owned(),
            });
        };
        found.push(Token { kind, offset: at, len });
        at += len;
    }
    Ok(found)
}

/// A number such as `0.2`, `900` or `1e-3`, and how many characters it has.
fn number(rest: &[char], offset: usize) -> Result<(TokenKind, usize), ParseError> {
    let mut len = 0;
    while let Some(c) = rest.get(len) {
        let exponent_sign = matches!(c, '+' | '-')
            && len > 0
            && matches!(rest.get(len - 1), Some('e' | 'E'))
            && rest.get(len + 1).is_some_and(char::is_ascii_digit);
        if !(c.is_ascii_alphanumeric() || *c == '.' || exponent_sign) {
            break;
        }
        len += 1;
    }
    let text: String = rest.iter().take(len).collect();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((TokenKind::Number(value), len)),
        _ => Err(ParseError {
            offset,
            len,
            message: format!("{text:?} is not a number"),
            hint: "Write numbers as 0.2, 900 or 1e-3; names begin with a letter, as b4 for band 4.".to_owned(),
        }),
    }
}
