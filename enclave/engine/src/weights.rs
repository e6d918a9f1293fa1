//! The weights of a llama model: found by name, checked by shape, multiplied by candle or, for two block formats, by `blocks`.
//!
//! Promises: every tensor that the metadata call for is there with the shape that follows from them, and no other
//! tensor is; float tensors hold finite numbers only, and so do the scales of Q4_1 and Q8_0.
//!
//! Trusts: the tensor table to have passed `header`.

use crate::blocks::Blocks;
use crate::config::{Architecture, Config};
use crate::error::{EngineError, LoadError, brief};
use crate::header::TensorEntry;
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::io::{Read, Seek};
use std::sync::Arc;

/// Rows of activations from which a product is done in f32 over the matrix dequantised for the moment: about where the
/// cost of dequantising is made good. Measured on SmolLM2-135M, see the README.
const GEMM_ROWS: usize = 16;

/// A matrix that multiplies rows of activations.
#[derive(Clone, Debug)]
pub(crate) enum Matrix {
    /// Q4_1 and Q8_0.
    Blocks(Arc<Blocks>),
    /// Other block formats, multiplied by candle.
    Quantised(Arc<QTensor>),
    /// f32, (outputs, inputs).
    Float(Tensor),
}

impl Matrix {
    fn new(tensor: QTensor) -> Result<Matrix, LoadError> {
        if let Some(blocks) = Blocks::new(&tensor)? {
            return Ok(Matrix::Blocks(Arc::new(blocks)));
        }
        Ok(match tensor.dtype() {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => {
                Matrix::Float(tensor.dequantize(&Device::Cpu)?)
            }
            _ => Matrix::Quantised(Arc::new(tensor)),
        })
    }

    /// `x`, of shape (rows, inputs), times the matrix: (rows, outputs), row by row.
    pub(crate) fn times(&self, x: &[f32], inputs: usize) -> Result<Vec<f32>, EngineError> {
        let rows = x.len() / inputs;
        if let Matrix::Blocks(w) = self
            && rows < GEMM_ROWS
        {
            return Ok(w.times(x));
        }
        let x = Tensor::from_slice(x, (rows, inputs), &Device::Cpu)?;
        let product = match self {
            Matrix::Quantised(w) if rows < GEMM_ROWS => x.apply_op1_no_bwd(w.as_ref())?,
            _ => x.matmul(&self.dense(inputs)?.t()?)?,
        };
        Ok(product.flatten_all()?.to_vec1()?)
    }

    /// The whole matrix in f32, (outputs, inputs).
    pub(crate) fn dense(&self, inputs: usize) -> Result<Tensor, EngineError> {
        Ok(match self {
            Matrix::Float(w) => w.clone(),
            Matrix::Quantised(w) => w.dequantize(&Device::Cpu)?,
            Matrix::Blocks(w) => {
                let values = w.dequantise_all();
                let shape = (values.len() / inputs, inputs);
                Tensor::from_vec(values, shape, &Device::Cpu)?
            }
        })
    }

    /// The rows of the matrix that `ids` name, one after the other. They must be in range.
    pub(crate) fn rows(&self, ids: &[u32]) -> Result<Vec<f32>, EngineError> {
        let tensor = |ids| Tensor::new(ids, &Device::Cpu);
        let rows = match self {
            Matrix::Blocks(w) => return Ok(w.dequantise(ids.iter().map(|id| *id as usize))),
            Matrix::Float(w) => w.index_select(&tensor(ids)?, 0)?,
            Matrix::Quantised(w) => w.embedding(&tensor(ids)?)?,
        };
        Ok(rows.flatten_all()?.to_vec1()?)
    }
}

/// One transformer layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) attention_out: Matrix,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

/// All weights.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    /// The same matrix as `embedding` where the file has none of its own.
    pub(crate) head: Matrix,
    /// Divisors of the rotary frequencies (Llama 3.1), one for each pair of a head.
    pub(crate) rope_factors: Option<Vec<f32>>,
}

impl Weights {
    pub(crate) fn read<R: Read + Seek>(
        reader: &mut R,
        content: &Content,
        table: &[TensorEntry],
        config: &Config,
    ) -> Result<Weights, LoadError> {
        let entries = table.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
        let mut loader = Loader { reader, content, entries };
        let c = config;
        if c.architecture != Architecture::Llama {
            return Err(LoadError::Architecture(c.architecture.name().to_owned()));
        }
        let embedding = loader.matrix("token_embd.weight", c.vocab, c.embed)?;
        let layers = (0..c.layers).map(|i| loader.layer(i, c)).collect::<Result<_, _>>()?;
        let own_head = loader.entries.contains_key("output.weight");
        let head =
            if own_head { loader.matrix("output.weight", c.vocab, c.embed)? } else { embedding.clone() };
        let factors = loader.entries.contains_key("rope_freqs.weight");
        let rope_factors = factors.then(|| loader.vector("rope_freqs.weight", c.head_dim / 2)).transpose()?;
        if rope_factors.iter().flatten().any(|f| *f < 1e-3) {
            return Err(LoadError::NotFinite("rope_freqs.weight".to_owned()));
        }
        let norm = loader.vector("output_norm.weight", c.embed)?;
        match loader.entries.keys().min() {
            Some(name) => Err(LoadError::UnknownTensor(brief(name))),
            None => Ok(Weights { embedding, layers, norm, head, rope_factors }),
        }
    }
}

struct Loader<'a, R> {
    reader: &'a mut R,
    content: &'a Content,
    /// Tensors not yet used, with their shapes.
    entries: HashMap<&'a str, &'a [u64]>,
}

impl<R: Read + Seek> Loader<'_, R> {
    fn layer(&mut self, index: usize, c: &Config) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm"), c.embed)?,
            query: self.matrix(&name("attn_q"), c.q_dim(), c.embed)?,
            key: self.matrix(&name("attn_k"), c.kv_dim(), c.embed)?,
            value: self.matrix(&name("attn_v"), c.kv_dim(), c.embed)?,
            attention_out: self.matrix(&name("attn_output"), c.embed, c.q_dim())?,
            ffn_norm: self.vector(&name("ffn_norm"), c.embed)?,
            gate: self.matrix(&name("ffn_gate"), c.ffn, c.embed)?,
            up: self.matrix(&name("ffn_up"), c.ffn, c.embed)?,
            down: self.matrix(&name("ffn_down"), c.embed, c.ffn)?,
        })
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        let tensor = self.tensor(name, &[rows, columns])?;
        // candle's kernels read two blocks of 32 at a time.
        if tensor.dtype().block_size() > 1 && !columns.is_multiple_of(64) {
            return Err(LoadError::Malformed("a quantised matrix has rows that are no multiple of 64"));
        }
        let matrix = Matrix::new(tensor)?;
        match &matrix {
            Matrix::Float(w) => finite(name, &w.flatten_all()?.to_vec1()?)?,
            Matrix::Blocks(w) if !w.is_finite() => return Err(LoadError::NotFinite(name.to_owned())),
            Matrix::Blocks(_) | Matrix::Quantised(_) => {}
        }
        Ok(matrix)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let vector = self.tensor(name, &[length])?.dequantize(&Device::Cpu)?.to_vec1()?;
        finite(name, &vector)?;
        Ok(vector)
    }

    fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<QTensor, LoadError> {
        let found = self.entries.remove(name).ok_or_else(|| LoadError::MissingTensor(name.to_owned()))?;
        let expected: Vec<u64> = expected.iter().map(|d| *d as u64).collect();
        if found != expected {
            return Err(LoadError::Shape { tensor: name.to_owned(), expected, found: found.to_vec() });
        }
        Ok(self.content.tensor(self.reader, name, &Device::Cpu)?)
    }
}

fn finite(name: &str, values: &[f32]) -> Result<(), LoadError> {
    let all = values.iter().all(|v| v.is_finite());
    if all { Ok(()) } else { Err(LoadError::NotFinite(name.to_owned())) }
}
