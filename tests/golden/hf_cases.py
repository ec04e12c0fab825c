"""The cases of hf_models.py: each a configuration of transformers, with what is drawn of it."""

GELUS = ["gelu_new", "gelu_pytorch_tanh"]
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
               "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
             "original_max_position_embeddings": 64}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


DEEPSEEK_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32,
                 "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
                 "original_max_position_embeddings": 64}


def llama(rope):
    return lambda transformers, rng, shape: transformers.LlamaConfig(rope_parameters=rope, **shape)


def qwen2(transformers, rng, shape):
    head_dim = shape.pop("head_dim")  # Qwen2 has no such setting
    shape["hidden_size"] = shape["num_attention_heads"] * head_dim
    return transformers.Qwen2Config(rope_parameters=DEFAULT_ROPE, **shape)


def qwen3(transformers, rng, shape):
    return transformers.Qwen3Config(rope_parameters=DEFAULT_ROPE, **shape)


def mla_and_moe(rng, shape):
    """DeepSeek's settings: groups of experts of one size, odd ranks and widths."""
    shape.pop("head_dim")
    shape["num_key_value_heads"] = shape["num_attention_heads"]
    groups = rng.choice([1, 2, 4])
    group_size = rng.choice([2, 3, 7]) if groups > 1 else 7
    kept = rng.randint(1, groups)
    shape.update({
        "num_hidden_layers": rng.choice([2, 3]),
        "first_k_dense_replace": rng.choice([0, 1]),
        "q_lora_rank": rng.choice([None, 20, 24]),
        "kv_lora_rank": rng.choice([18, 24, 32]),
        "qk_nope_head_dim": rng.choice([8, 12, 16]),
        "qk_rope_head_dim": rng.choice([4, 6, 16]),
        "v_head_dim": rng.choice([6, 10, 16]),
        "n_routed_experts": groups * group_size,
        "n_shared_experts": rng.choice([1, 2]),
        "num_experts_per_tok": rng.randint(1, min(3, kept * group_size)),
        "moe_intermediate_size": rng.choice([12, 20, 32]),
        "n_group": groups,
        "topk_group": kept,
        "routed_scaling_factor": rng.choice([1.0, 2.5]),
        "rope_parameters": rng.choice([DEFAULT_ROPE, DEEPSEEK_ROPE]),
    })
    return shape


def deepseek_v2(transformers, rng, shape):
    return transformers.DeepseekV2Config(
        topk_method=rng.choice(["greedy", "group_limited_greedy"]), **mla_and_moe(rng, shape))


def deepseek_v3(transformers, rng, shape):
    return transformers.DeepseekV3Config(norm_topk_prob=rng.random() < 0.7, num_mtp_layers=0,
                                         **mla_and_moe(rng, shape))


def qwen3_moe(transformers, rng, shape):
    return transformers.Qwen3MoeConfig(
        rope_parameters=DEFAULT_ROPE, num_experts=rng.choice([7, 3]), num_experts_per_tok=3,
        moe_intermediate_size=rng.choice([12, 33]), norm_topk_prob=True, **shape)


def qwen3_moe_sparse(transformers, rng, shape):
    shape["num_hidden_layers"] = 4
    return transformers.Qwen3MoeConfig(
        rope_parameters=DEFAULT_ROPE, num_experts=5, num_experts_per_tok=rng.choice([1, 2]),
        moe_intermediate_size=20, norm_topk_prob=rng.random() < 0.3, decoder_sparse_step=2,
        mlp_only_layers=rng.choice([[1], [3], [0, 2]]), **shape)


def gpt2(transformers, rng, shape):
    heads = shape["num_attention_heads"]
    return transformers.GPT2Config(
        vocab_size=shape["vocab_size"], n_embd=heads * rng.choice([6, 8, 10]),
        n_inner=rng.choice([None, 40, 56]), n_layer=shape["num_hidden_layers"], n_head=heads,
        n_positions=shape["max_position_embeddings"], activation_function=rng.choice(GELUS),
        layer_norm_epsilon=shape["rms_norm_eps"], bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=shape["tie_word_embeddings"])


def gpt2_erf(transformers, rng, shape):
    config = gpt2(transformers, rng, shape)
    config.activation_function = "gelu"
    return config


def wide(make_config):
    """With matrices of more than one FP8 block, cut off at their edges."""
    def make(transformers, rng, shape):
        shape["hidden_size"] = rng.choice([136, 160])
        shape["intermediate_size"] = rng.choice([130, 160])
        config = make_config(transformers, rng, shape)
        if hasattr(config, "kv_lora_rank"):
            config.kv_lora_rank = rng.choice([130, 560])
        return config
    return make


def deepseek_v3_mtp(transformers, rng, shape):
    return transformers.DeepseekV3Config(num_mtp_layers=rng.choice([2, 1]),
                                         **mla_and_moe(rng, shape))


# case: its config, the format of its weights, bytes of a shard
CASES = {
    "llama": (llama(DEFAULT_ROPE), "float32", "1GB"),
    "llama3": (llama(LLAMA3_ROPE), "bfloat16", "10KB"),
    "llama-yarn": (llama(YARN_ROPE), "float16", "1GB"),
    "llama-linear": (llama(LINEAR_ROPE), "bfloat16", "1GB"),
    "qwen2": (qwen2, "bfloat16", "1GB"),
    "qwen3": (qwen3, "bfloat16", "1GB"),
    "deepseek-v2": (deepseek_v2, "bfloat16", "1GB"),
    "deepseek-v3": (deepseek_v3, "bfloat16", "1GB"),
    "deepseek-v3-fp8": (wide(deepseek_v3), "fp8", "1GB"),
    "qwen3-fp8": (wide(qwen3), "fp8-ue8m0", "1GB"),
    "qwen3-moe": (qwen3_moe, "bfloat16", "1GB"),
    "qwen3-moe-sparse": (qwen3_moe_sparse, "bfloat16", "1GB"),
    "deepseek-v3-mtp": (deepseek_v3_mtp, "bfloat16", "1GB"),
    "gpt2": (gpt2, "float32", "1GB"),
    "gpt2-erf": (gpt2_erf, "bfloat16", "1GB"),
}
