//! The weights of a model: found by name, checked by shape, packed once for the kernels.
//!
//! Promises: every tensor that the metadata call for is there with the shape that follows from them, and no other tensor
//! is; scales, offsets and floats are finite. The packed weights are no larger than [`Weights::bytes`] says before the
//! first tensor is read.
//!
//! Trusts: the tensor table to have passed `header`.

use crate::config::Config;
use crate::error::{LoadError, brief};
use crate::header::TensorEntry;
use crate::rotary::Rotary;
use adyton_kernels::{Format, Matrix, PackError, Store};
use candle_core::Device;
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};
use std::collections::HashMap;
use std::io::{Read, Seek};

/// One transformer layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    /// Biases of queries, keys and values, one behind the other (Qwen2).
    pub(crate) bias: Option<Vec<f32>>,
    /// Norms of each head's queries and keys (Qwen3).
    pub(crate) head_norms: Option<(Vec<f32>, Vec<f32>)>,
    pub(crate) attention_out: Matrix,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

/// All weights.
#[derive(Debug)]
pub(crate) struct Weights {
    /// The memory that the matrices are places in.
    pub(crate) store: Store,
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    /// The same place as `embedding` where the file has no matrix of its own.
    pub(crate) head: Matrix,
    /// Divisors of the rotary frequencies (Llama 3.1), one for each pair of a head.
    pub(crate) rope_factors: Option<Vec<f32>>,
}

impl Weights {
    /// Bytes that the weights of a file will take.
    pub(crate) fn bytes(content: &Content, table: &[TensorEntry]) -> usize {
        let one = |entry: &TensorEntry| {
            let [rows, columns] = *entry.shape.as_slice() else { return 0 };
            let format =
                content.tensor_infos.get(&entry.name).map_or(Format::F32, |i| packed_as(i.ggml_dtype));
            let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            Store::bytes_for(format, size(rows), size(columns))
        };
        table.iter().map(one).fold(0, usize::saturating_add)
    }

    /// Values of all matrices; an embedding that is also the head counts once.
    pub(crate) fn values(&self) -> usize {
        let size = |matrix: &Matrix| matrix.rows() * matrix.columns();
        let layer = |l: &Layer| {
            let all = [&l.query, &l.key, &l.value, &l.attention_out, &l.gate, &l.up, &l.down];
            all.into_iter().map(size).sum::<usize>()
        };
        size(&self.embedding) + self.layers.iter().map(layer).sum::<usize>()
    }

    pub(crate) fn read<R: Read + Seek>(
        reader: &mut R,
        content: &Content,
        table: &[TensorEntry],
        config: &Config,
    ) -> Result<Weights, LoadError> {
        let entries = table.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
        let store = Store::with_capacity(Weights::bytes(content, table)).map_err(PackError::Store)?;
        let mut loader = Loader { reader, content, entries, store };
        let c = config;
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
            None => Ok(Weights { store: loader.store, embedding, layers, norm, head, rope_factors }),
        }
    }
}

/// The packed format of a tensor. What the kernels have no form for is packed in f32, which holds it exactly.
fn packed_as(kind: GgmlDType) -> Format {
    match kind {
        GgmlDType::Q4_0 => Format::Q4_0,
        GgmlDType::Q4_1 => Format::Q4_1,
        GgmlDType::Q5_0 => Format::Q5_0,
        GgmlDType::Q5_1 => Format::Q5_1,
        GgmlDType::Q8_0 => Format::Q8_0,
        GgmlDType::Q4K => Format::Q4K,
        GgmlDType::Q5K => Format::Q5K,
        GgmlDType::Q6K => Format::Q6K,
        GgmlDType::F16 => Format::F16,
        _ => Format::F32,
    }
}

struct Loader<'a, R> {
    reader: &'a mut R,
    content: &'a Content,
    /// Tensors not yet used, with their shapes.
    entries: HashMap<&'a str, &'a [u64]>,
    store: Store,
}

impl<R: Read + Seek> Loader<'_, R> {
    fn layer(&mut self, index: usize, c: &Config) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let paired = |width: usize| move |row: usize| pair_order(row, c, width);
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"), c.embed)?,
            query: self.ordered(&name("attn_q.weight"), c.q_dim(), c.embed, paired(c.q_dim()))?,
            key: self.ordered(&name("attn_k.weight"), c.kv_dim(), c.embed, paired(c.kv_dim()))?,
            value: self.matrix(&name("attn_v.weight"), c.kv_dim(), c.embed)?,
            bias: if c.qkv_bias { Some(self.biases(index, c)?) } else { None },
            head_norms: if c.qk_norm {
                let mut norm = |part| self.vector(&name(part), c.head_dim);
                Some((norm("attn_q_norm.weight")?, norm("attn_k_norm.weight")?))
            } else {
                None
            },
            attention_out: self.matrix(&name("attn_output.weight"), c.embed, c.q_dim())?,
            ffn_norm: self.vector(&name("ffn_norm.weight"), c.embed)?,
            gate: self.matrix(&name("ffn_gate.weight"), c.ffn, c.embed)?,
            up: self.matrix(&name("ffn_up.weight"), c.ffn, c.embed)?,
            down: self.matrix(&name("ffn_down.weight"), c.embed, c.ffn)?,
        })
    }

    fn biases(&mut self, index: usize, c: &Config) -> Result<Vec<f32>, LoadError> {
        let mut all = Vec::with_capacity(c.q_dim() + 2 * c.kv_dim());
        for (part, width, paired) in
            [("attn_q", c.q_dim(), true), ("attn_k", c.kv_dim(), true), ("attn_v", c.kv_dim(), false)]
        {
            let bias = self.vector(&format!("blk.{index}.{part}.bias"), width)?;
            all.extend((0..width).map(|i| bias[if paired { pair_order(i, c, width) } else { i }]));
        }
        Ok(all)
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        self.ordered(name, rows, columns, |row| row)
    }

    fn ordered(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        order: impl Fn(usize) -> usize,
    ) -> Result<Matrix, LoadError> {
        let tensor = self.tensor(name, &[rows, columns])?;
        let format = packed_as(tensor.dtype());
        let exact = format == Format::F32 && tensor.dtype() != GgmlDType::F32;
        let matrix = if exact {
            let values = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.store.pack(format, (rows, columns), &bytes, order)?
        } else {
            self.store.pack(format, (rows, columns), &tensor.data()?, order)?
        };
        let finite = self.store.is_finite(&matrix);
        if finite { Ok(matrix) } else { Err(LoadError::NotFinite(name.to_owned())) }
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let vector: Vec<f32> = self.tensor(name, &[length])?.dequantize(&Device::Cpu)?.to_vec1()?;
        let finite = vector.iter().all(|v| v.is_finite());
        if finite { Ok(vector) } else { Err(LoadError::NotFinite(name.to_owned())) }
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

/// Which row of a file's Q or K is row `row` here: where the file's rotary pairs are neighbours, the first of each pair come
/// first, then the second.
fn pair_order(row: usize, c: &Config, width: usize) -> usize {
    let (dim, half) = (c.head_dim, c.head_dim / 2);
    let within = row % dim;
    match c.rotary {
        Rotary::Halves => row,
        Rotary::Neighbours => (row - within + within % half * 2 + within / half).min(width - 1),
    }
}
