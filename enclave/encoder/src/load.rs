//! Files in, encoder out.
//!
//! Weights are kept in f16: a rounding of one part in two thousand, against which vectors keep a cosine above 0.9999 with those of the file's f32.

use crate::error::{EncodeError, LoadError};
use crate::tokens::{Tokens, Words};
use adyton_kernels::{Format, Matrix, Store};
use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device};
use half::f16;

/// Elements of a head. Files do not say it; it is so in the whole family.
pub(crate) const HEAD: usize = 32;
/// Elements of a row, most layers, most words, most positions.
const WIDTH: usize = 384;
const MAX_LAYERS: usize = 12;
const MAX_WORDS: usize = 1 << 16;
const MAX_POSITIONS: usize = 512;
const MAX_INNER: usize = 4 * WIDTH;

/// A sentence encoder.
pub struct Encoder {
    pub(crate) words: Words,
    pub(crate) weights: Weights,
}

/// All weights.
pub(crate) struct Weights {
    pub(crate) store: Store,
    /// (words, width)
    pub(crate) word: Matrix,
    /// (positions, width), the kind of all tokens added.
    pub(crate) position: Vec<f32>,
    pub(crate) positions: usize,
    pub(crate) norm: Norm,
    pub(crate) layers: Vec<Layer>,
    pub(crate) width: usize,
    /// Width between the two products of the feed-forward block.
    pub(crate) inner: usize,
}

/// Weights of one layer.
pub(crate) struct Layer {
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    /// Of all three, one behind the other.
    pub(crate) bias: Vec<f32>,
    pub(crate) out: Matrix,
    pub(crate) out_bias: Vec<f32>,
    pub(crate) attention_norm: Norm,
    pub(crate) up: Matrix,
    pub(crate) up_bias: Vec<f32>,
    pub(crate) down: Matrix,
    pub(crate) down_bias: Vec<f32>,
    pub(crate) norm: Norm,
}

/// Weight and bias of a layer norm.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Encoder {
    /// Loads an encoder from the bytes of its `model.safetensors` and its `tokenizer.json`.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn load(weights: &[u8], tokenizer: &[u8]) -> Result<Encoder, LoadError> {
        let weights = Weights::read(&File::open(weights)?)?;
        let words = Words::read(tokenizer, weights.word.rows())?;
        Ok(Encoder { words, weights })
    }

    /// Elements of a vector.
    pub fn width(&self) -> usize {
        self.weights.width
    }

    /// Most tokens of a text.
    pub fn positions(&self) -> usize {
        self.weights.positions
    }

    /// Cuts a text into tokens.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`], [`EncodeError::Tokens`]
    pub fn tokens(&self, text: &str) -> Result<Tokens, EncodeError> {
        self.words.cut(text, self.weights.positions)
    }

    /// The tokens of a text, or of its halves, of theirs, and so on, until they fit: nothing is left out.
    ///
    /// # Errors
    /// [`EncodeError::Tokens`]
    pub fn parts(&self, text: &str) -> Result<Vec<Tokens>, EncodeError> {
        match self.tokens(text) {
            Ok(tokens) => Ok(vec![tokens]),
            Err(EncodeError::TooLong { .. }) => {
                let middle = text.floor_char_boundary(text.len() / 2);
                let (before, after) = text.split_at_checked(middle).ok_or(EncodeError::Tokens)?;
                if before.is_empty() {
                    return Err(EncodeError::Tokens);
                }
                Ok([self.parts(before)?, self.parts(after)?].concat())
            }
            Err(other) => Err(other),
        }
    }

    /// Where each token of a text stands, in bytes from its start: for whoever cuts long texts.
    ///
    /// # Errors
    /// [`EncodeError::Tokens`]
    pub fn places(&self, text: &str) -> Result<Vec<(usize, usize)>, EncodeError> {
        self.words.places(text)
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} layers of {})", self.weights.layers.len(), self.weights.width)
    }
}

/// A safetensors file.
struct File<'a>(SliceSafetensors<'a>);

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<File<'a>, LoadError> {
        SliceSafetensors::new(bytes).map(File).map_err(|_| LoadError::NotSafetensors)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).ok().map(|view| view.shape().to_vec())
    }

    /// A tensor's numbers, if it has this shape.
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let wrong = || LoadError::Tensor { name: name.to_owned(), shape: shape.to_vec() };
        if self.shape(name).as_deref() != Some(shape) {
            return Err(wrong());
        }
        let tensor = self.0.load(name, &Device::Cpu).map_err(|_| wrong())?;
        if tensor.dtype() != DType::F32 {
            return Err(wrong());
        }
        let floats = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(|_| wrong())?;
        if floats.iter().all(|value| value.abs() <= f16::MAX.to_f32()) {
            Ok(floats)
        } else {
            Err(LoadError::NotFinite { name: name.to_owned() })
        }
    }

    fn matrix(
        &self,
        store: &mut Store,
        name: &str,
        (rows, columns): (usize, usize),
    ) -> Result<Matrix, LoadError> {
        let floats = self.floats(name, &[rows, columns])?;
        let bytes: Vec<u8> = floats.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        store.pack(Format::F16, (rows, columns), &bytes, |row| row).map_err(|_| LoadError::Memory)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, LoadError> {
        let part = |part: &str| self.floats(&format!("{name}.LayerNorm.{part}"), &[width]);
        Ok(Norm { weight: part("weight")?, bias: part("bias")? })
    }
}

impl Weights {
    fn read(file: &File<'_>) -> Result<Weights, LoadError> {
        let rows = |name: &str| match file.shape(name).as_deref() {
            Some([rows, _]) => *rows,
            _ => 0,
        };
        let within = |what, found, most, accepted| match (1..=most).contains(&found) {
            true => Ok(found),
            false => Err(LoadError::Shape { what, found, accepted }),
        };
        let words = "embeddings.word_embeddings.weight";
        let count = within("words", rows(words), MAX_WORDS, "1 to 65536")?;
        let positions = "embeddings.position_embeddings.weight";
        let length = within("positions", rows(positions), MAX_POSITIONS, "1 to 512")?;
        let layer = |n: usize, part: &str| format!("encoder.layer.{n}.{part}");
        let layers = (0..=MAX_LAYERS).take_while(|n| rows(&layer(*n, "output.dense.weight")) > 0).count();
        within("layers", layers, MAX_LAYERS, "1 to 12")?;
        let inner = rows(&layer(0, "intermediate.dense.weight"));
        if inner == 0 || inner > MAX_INNER || !inner.is_multiple_of(HEAD) {
            return Err(LoadError::Shape {
                what: "an inner width of",
                found: inner,
                accepted: "a multiple of 32 up to 1536",
            });
        }

        let matrix = |rows, columns| Store::bytes_for(Format::F16, rows, columns);
        let per_layer = 4 * matrix(WIDTH, WIDTH) + matrix(inner, WIDTH) + matrix(WIDTH, inner);
        let bytes = matrix(count, WIDTH) + layers * per_layer;
        let mut store = Store::with_capacity(bytes).map_err(|_| LoadError::Memory)?;

        let word = file.matrix(&mut store, words, (count, WIDTH))?;
        let mut position = file.floats(positions, &[length, WIDTH])?;
        let kinds = "embeddings.token_type_embeddings.weight";
        let kind = file.floats(kinds, &[rows(kinds), WIDTH])?;
        let first =
            kind.get(..WIDTH).ok_or(LoadError::Tensor { name: kinds.to_owned(), shape: vec![1, WIDTH] })?;
        for row in position.chunks_exact_mut(WIDTH) {
            row.iter_mut().zip(first).for_each(|(x, kind)| *x += kind);
        }
        let layers = (0..layers)
            .map(|n| Layer::read(file, &mut store, &layer(n, ""), inner))
            .collect::<Result<_, _>>()?;
        let norm = file.norm("embeddings", WIDTH)?;
        Ok(Weights { store, word, position, positions: length, norm, layers, width: WIDTH, inner })
    }
}

impl Layer {
    /// Reads one; `prefix` ends with a dot.
    fn read(file: &File<'_>, store: &mut Store, prefix: &str, inner: usize) -> Result<Layer, LoadError> {
        let mut matrix = |part: &str, shape| file.matrix(store, &format!("{prefix}{part}.weight"), shape);
        let bias = |part: &str, width: usize| file.floats(&format!("{prefix}{part}.bias"), &[width]);
        let parts = ["attention.self.query", "attention.self.key", "attention.self.value"];
        Ok(Layer {
            query: matrix(parts[0], (WIDTH, WIDTH))?,
            key: matrix(parts[1], (WIDTH, WIDTH))?,
            value: matrix(parts[2], (WIDTH, WIDTH))?,
            bias: parts.iter().map(|part| bias(part, WIDTH)).collect::<Result<Vec<_>, _>>()?.concat(),
            out: matrix("attention.output.dense", (WIDTH, WIDTH))?,
            out_bias: bias("attention.output.dense", WIDTH)?,
            attention_norm: file.norm(&format!("{prefix}attention.output"), WIDTH)?,
            up: matrix("intermediate.dense", (inner, WIDTH))?,
            up_bias: bias("intermediate.dense", inner)?,
            down: matrix("output.dense", (WIDTH, inner))?,
            down_bias: bias("output.dense", WIDTH)?,
            norm: file.norm(&format!("{prefix}output"), WIDTH)?,
        })
    }
}
