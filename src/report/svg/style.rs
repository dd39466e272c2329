//! Colours and patterns: dark ones on a dark screen, light ones elsewhere and in print. Shapes and patterns differ as well, for eyes and
//! printers without colour.

/// The style of the picture; WCAG 2.1 asks for a contrast of 3 for marks (1.4.11) and of 4.5 for text (1.4.3).
pub const STYLE: &str = include_str!("style.css");

/// Hatching, dots, a grid of lines and bars.
pub(super) const PATTERNS: &str = include_str!("patterns.svg");
