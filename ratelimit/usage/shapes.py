"""Shapes of providers' answers: the places of the usage and of the text.

One table a shape. A path names keys, and `[]` the elements of an array; an array at the top is
read as one document after another. Behind the path stands what is done with the value:

- a field of `FIELDS`: it is a number to be kept. Before it may stand `added` (several in one document
  add up), `largest` (the largest of them counts), `closing` (it is about the answer as a whole, or about
  the choice that stands beside it), `mark` (that there is a value at all). Behind it a factor may stand;
- `text`: a piece of the answer; `delta`: likewise, in events of a type that says so;
- `type`, `finish`: the event's type, that the answer is complete;
- `wrong`: an object or a text there says that it failed;
- `choice`, `candidate`, `index`: that it goes on, and which one it is;
- `identity`: which response it is about, by the words `response`, `turn`, `alone`;
- `turn`: that a response of a connection ends;
- `name`: the model;
- `part`, `of_part`, `part_name`: a share of the usage, its numbers by `PARTS`, and its model;
- `sorted`, `sort`, `sort_count`: tokens of one modality, its name, and how many; those of sounds are added
  to a field, those of pictures to the one behind it;
- `tier`: the service tier;
- `usage`: an object with numbers of a usage. Other tokens in it than the table knows make it less than
  certain; `known` is one that says nothing more;
- `inner`: an event in base64.

The fields follow the two conventions there are. OpenAI and Gemini count cached input within the
input (`input_all`, `cached`, `cache_written`), Anthropic and Bedrock beside it (`input_fresh`,
`cache_read`, `cache_write`). `usage.input_tokens` is either, and what stands beside it tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import Literal, get_args

from ratelimit.usage.form import TableSpec
from ratelimit.usage.paths import KINDS, Paths

Shape = Literal["auto", "openai", "responses", "anthropic", "gemini", "bedrock"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

FIELDS = (
    "input_all",
    "cached",
    "cache_written",
    "input_fresh",
    "input_either",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "output_early",
    "output_part",
    "thoughts",
    "tool_input",
    "total",
    "beside_input",
    "beside_output",
    "reasoning",
    "citations",
    "other_input",
    "other_output",
    "cost",
    "inert",
    "audio_input",
    "image_input",
    "audio_cached",
    "image_cached",
    "audio_output",
    "image_output",
    "searches",
    "images",
    "of_one",
    "audio_seconds",
)
"""The values that a reader keeps, by slot. `beside_…` come on top of the others, `other_…` count where those
are not said; `cost` is in nano-dollars; `inert` marks what has no output, as embeddings. Sounds and pictures
are shares of the input, of what was cached of it, and of the output; `of_one` marks counters of one choice,
and with `audio_seconds` the total has tokens of input that nothing else has."""
PARTS = ("fresh", "read", "write", "write_1h", "output")
"""The numbers of a share of a usage, by slot."""
WHOSE = ("response", "turn", "alone")

HEADER = "header:"
_DOLLARS = "largest cost 1000000000"


def _below(prefix: str, table: Mapping[str, str]) -> dict[str, str]:
    """Return a table with its paths below another."""
    return {f"{prefix}.{path}": meaning for path, meaning in table.items()}


def _modalities(prefix: str, field: str, count: str) -> dict[str, str]:
    """Return the table of a list with the tokens of each modality; pictures are in the field behind it."""
    return {prefix: f"sorted {field}", f"{prefix}.modality": "sort", f"{prefix}.{count}": "sort_count"}


def _usage(prefix: str, table: Mapping[str, str]) -> dict[str, str]:
    """Return the table of an object with a usage."""
    return {prefix: "usage", **_below(prefix, table)}


_CHAT_USAGE = {
    "prompt_tokens": "input_all",
    "prompt_tokens_details.cached_tokens": "largest cached",
    "prompt_token_details.cached_tokens": "largest cached",
    "prompt_tokens_details.cache_write_tokens": "largest cache_written",
    "prompt_tokens_details.cache_creation_tokens": "largest cache_written",
    "prompt_tokens_details.audio_tokens": "audio_input",
    "prompt_tokens_details.image_tokens": "image_input",
    "prompt_audio_seconds": "audio_seconds",
    "prompt_cache_hit_tokens": "largest cached",
    "cached_tokens": "largest cached",
    "num_cached_tokens": "largest cached",
    "cached_prompt_text_tokens": "largest cached",
    "completion_tokens": "closing output",
    "completion_tokens_details.reasoning_tokens": "largest reasoning",
    "completion_tokens_details.audio_tokens": "audio_output",
    "completion_tokens_details.image_tokens": "image_output",
    "reasoning_tokens": "largest reasoning",
    "total_tokens": "total",
    "connector_tokens": "tool_input",
    "connectors.web_search": "searches",
    "num_search_queries": "largest searches",
    "num_sources_used": "largest searches",
    "server_side_tool_usage_details.web_search_calls": "added searches",
    "server_side_tool_usage_details.x_search_calls": "added searches",
    "service_tier": "tier",
    "citation_tokens": "citations",
    "cost": _DOLLARS,
    "cost.total_cost": _DOLLARS,
    "cost_details.upstream_inference_cost": _DOLLARS,
    "cost_in_usd_ticks": "largest cost 0.1",
    "estimated_cost": _DOLLARS,
    "prompt_cache_miss_tokens": "other_input",
    "prompt_text_tokens": "known",
    "prompt_image_tokens": "known",
    "audio_tokens": "known",
    "image_tokens": "known",
    "text_tokens": "known",
}
_CHAT_TEXT = (
    "content",
    "content[].text",
    "content[].thinking[].text",
    "refusal",
    "reasoning",
    "reasoning_content",
    "audio.transcript",
    "function_call.arguments",
    "tool_calls[].function.arguments",
)
_OPENAI = {
    **_usage("usage", _CHAT_USAGE),
    "model": "name",
    **_usage("x_groq.usage", _CHAT_USAGE),
    **_usage("choices[].usage", _CHAT_USAGE),
    **{f"choices[].delta.{path}": "text" for path in _CHAT_TEXT},
    **{f"choices[].message.{path}": "text" for path in _CHAT_TEXT},
    "choices[].text": "text",
    "service_tier": "tier",
    "response.body.service_tier": "tier",
    "data[].b64_json": "count images",
    "data[].url": "count images",
    "timings.predicted_n": "of_one",
    "timings.cache_n": "largest cached",
    "choices[].finish_reason": "finish",
    "choices[].index": "index",
    "choices[]": "choice",
    "error": "wrong",
    "id": "identity turn",
    "data[].embedding": "mark inert",
    "data[].relevance_score": "mark inert",
    "results[].relevance_score": "mark inert",
    # Lines of a batch's results, each with an answer of its own.
    "custom_id": "identity alone",
    "response.body.model": "name",
    "response.body.data[].embedding": "mark inert",
    **_usage("response.body.usage", _CHAT_USAGE),
}
_RESPONSES_USAGE = {
    "input_tokens": "input_all",
    "input_tokens_details.cached_tokens": "largest cached",
    "input_tokens_details.cache_read_input_tokens": "largest cached",
    "input_tokens_details.cache_write_tokens": "largest cache_written",
    "input_tokens_details.cache_creation_input_tokens": "largest cache_written",
    "output_tokens": "output",
    "output_tokens_details.reasoning_tokens": "largest reasoning",
    "input_tokens_details.audio_tokens": "audio_input",
    "input_tokens_details.image_tokens": "image_input",
    "output_tokens_details.audio_tokens": "audio_output",
    "output_tokens_details.image_tokens": "image_output",
    "total_tokens": "total",
    "num_sources_used": "largest searches",
    "server_side_tool_usage_details.web_search_calls": "largest searches",
    "cost": _DOLLARS,
    "cost.total_cost": _DOLLARS,
    "cost_in_usd_ticks": "largest cost 0.1",
}
_REALTIME_USAGE = {
    "input_token_details.cached_tokens": "largest cached",
    "input_token_details.audio_tokens": "audio_input",
    "input_token_details.image_tokens": "image_input",
    "input_token_details.cached_tokens_details.audio_tokens": "audio_cached",
    "input_token_details.cached_tokens_details.image_tokens": "image_cached",
    "output_token_details.audio_tokens": "audio_output",
    "output_token_details.image_tokens": "image_output",
}
_IMAGE_TOOL = {
    "tool_usage.image_gen.input_tokens": "beside_input",
    "tool_usage.image_gen.output_tokens": "beside_output",
}
_RESPONSES = {
    "type": "type",
    "delta": "delta",
    "model": "name",
    "response.model": "name",
    "response.id": "identity response",
    "error": "wrong",
    "response.error": "wrong",
    "custom_id": "identity alone",
    "response.body.model": "name",
    "service_tier": "tier",
    "response.service_tier": "tier",
    "response.body.service_tier": "tier",
    # A call of a tool that searched.
    "output[].action.query": "count searches",
    "response.output[].action.query": "count searches",
    "response.body.output[].action.query": "count searches",
    "b64_json": "count images",
    "data[].b64_json": "count images",
    "data[].url": "count images",
    **_usage("response.usage", {**_RESPONSES_USAGE, **_REALTIME_USAGE}),
    **_usage("usage", {**_RESPONSES_USAGE, **_REALTIME_USAGE}),
    **_usage("response.body.usage", _RESPONSES_USAGE),
    **_IMAGE_TOOL,
    **_below("response", _IMAGE_TOOL),
    **_below("response.body", _IMAGE_TOOL),
    "output[].content[].text": "text",
    "output[].content[].refusal": "text",
    "output[].summary[].text": "text",
    "output[].arguments": "text",
}
_ANTHROPIC_CACHE = {
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
}
_ITERATION = {
    "input_tokens": "of_part fresh",
    "cache_read_input_tokens": "of_part read",
    "cache_creation_input_tokens": "of_part write",
    "cache_creation.ephemeral_1h_input_tokens": "of_part write_1h",
    "output_tokens": "of_part output",
    "model": "part_name",
}
_ITERATIONS = {"iterations[]": "part", **_below("iterations[]", _ITERATION)}
_ANTHROPIC_USAGE = {
    "input_tokens": "input_fresh",
    "output_tokens": "output",
    **_ANTHROPIC_CACHE,
    **_ITERATIONS,
    "server_tool_use.web_search_requests": "searches",
    "service_tier": "tier",
}
_ANTHROPIC = {
    "type": "type",
    "error": "wrong",
    "model": "name",
    "message.model": "name",
    "message.id": "identity turn",
    **_usage("message.usage", {**_ANTHROPIC_USAGE, "output_tokens": "output_early"}),
    **_usage("usage", _ANTHROPIC_USAGE),
    "custom_id": "identity alone",
    "result.message.model": "name",
    **_usage("result.message.usage", _ANTHROPIC_USAGE),
    "delta.text": "text",
    "delta.thinking": "text",
    "delta.partial_json": "text",
    "delta.stop_reason": "finish",
    "content[].text": "text",
    "content[].thinking": "text",
    "stop_reason": "finish",
    "completion": "text",
}
_GEMINI_COUNTS = {
    "promptTokenCount": "input_all",
    "cachedContentTokenCount": "cached",
    "toolUsePromptTokenCount": "tool_input",
    "candidatesTokenCount": "output_part",
    "responseTokenCount": "output_part",
    "thoughtsTokenCount": "thoughts",
    "totalTokenCount": "total",
}
_GEMINI_USAGE = {
    **_GEMINI_COUNTS,
    "trafficType": "tier",
    **_modalities("promptTokensDetails[]", "audio_input", "tokenCount"),
    **_modalities("cacheTokensDetails[]", "audio_cached", "tokenCount"),
    **_modalities("candidatesTokensDetails[]", "audio_output", "tokenCount"),
    **_modalities("responseTokensDetails[]", "audio_output", "tokenCount"),
}
_INTERACTION_USAGE = {
    "total_input_tokens": "input_all",
    "total_cached_tokens": "cached",
    "total_tool_use_tokens": "tool_input",
    "total_output_tokens": "output_part",
    "total_thought_tokens": "thoughts",
    "total_reasoning_tokens": "thoughts",
    **_modalities("input_tokens_by_modality[]", "audio_input", "tokens"),
    **_modalities("cached_tokens_by_modality[]", "audio_cached", "tokens"),
    **_modalities("output_tokens_by_modality[]", "audio_output", "tokens"),
}
_GEMINI_PARTS = {
    "error": "wrong",
    "modelVersion": "name",
    **_usage("usageMetadata", _GEMINI_USAGE),
    "candidates[].content.parts[].text": "text",
    "candidates[].finishReason": "finish",
    "candidates[]": "candidate",
    "candidates[].groundingMetadata.webSearchQueries[]": "count searches",
    "promptFeedback.blockReason": "finish",
}
# Some gateways answer with the whole of it below `response`.
_GEMINI = {
    **_GEMINI_PARTS,
    **_below("response", _GEMINI_PARTS),
    "key": "identity alone",
    **_usage("usage", {**_INTERACTION_USAGE, "total_tokens": "total"}),
    **_usage("interaction.usage", {**_INTERACTION_USAGE, "total_tokens": "total"}),
    "serverContent.modelTurn": "candidate",
    "serverContent.modelTurn.parts[].text": "text",
    "serverContent.outputTranscription.text": "text",
    "serverContent.turnComplete": "turn",
    # Vertex, of models that are not Gemini's, and of embeddings.
    "metadata.tokenMetadata.inputTokenCount.totalTokens": "input_all",
    "metadata.tokenMetadata.outputTokenCount.totalTokens": "output",
    "predictions[].embeddings.statistics.token_count": "added other_input",
    "predictions[].embeddings": "mark inert",
    "predictions[].bytesBase64Encoded": "count images",
    # A batch with its answers inside.
    "response.inlinedResponses.inlinedResponses[].response.modelVersion": "name",
    **_usage(
        "response.inlinedResponses.inlinedResponses[].response.usageMetadata",
        {path: f"added {meaning}" for path, meaning in _GEMINI_COUNTS.items()},
    ),
}
_INVOKED = {
    # Beside the model's own answer.
    "inputTokenCount": "other_input",
    "outputTokenCount": "other_output",
    "cacheReadInputTokenCount": "cache_read",
    "cacheWriteInputTokenCount": "cache_write",
}
_CONVERSE_USAGE = {
    "inputTokens": "input_fresh",
    "cacheReadInputTokens": "cache_read",
    "cacheWriteInputTokens": "cache_write",
    "cacheReadInputTokenCount": "cache_read",
    "cacheWriteInputTokenCount": "cache_write",
    "outputTokens": "output",
    "totalTokens": "total",
    "cacheDetails[]": "sorted cache_write_1h",
    "cacheDetails[].ttl": "sort",
    "cacheDetails[].inputTokens": "sort_count",
}
_BEDROCK = _ANTHROPIC | {
    **_below("usage", _CONVERSE_USAGE),
    "delta.reasoningContent.text": "text",
    "delta.toolUse.input": "text",
    "output.message.content[].text": "text",
    "output.message.content[].reasoningContent.reasoningText.text": "text",
    "stopReason": "finish",
    "serviceTier.type": "tier",
    # InvokeModel streams the model's own events in base64; Anthropic's are like these. Others are:
    "bytes": "inner",
    **_below("amazon-bedrock-invocationMetrics", _INVOKED),
    # Nova,
    "contentBlockDelta.delta.text": "text",
    "messageStop.stopReason": "finish",
    **_usage("metadata.usage", _CONVERSE_USAGE),
    # Llama,
    "generation": "text",
    "prompt_token_count": "input_fresh",
    "generation_token_count": "output",
    # Titan,
    "outputText": "text",
    "results[].outputText": "text",
    "completionReason": "finish",
    "results[].completionReason": "finish",
    "inputTextTokenCount": "input_fresh",
    "totalOutputTextTokenCount": "output",
    "results[].tokenCount": "added output",
    "embedding": "mark inert",
    # and Mistral.
    "outputs[].text": "text",
    "outputs[].stop_reason": "finish",
    "recordId": "identity alone",
    **_usage("modelOutput.usage", _ANTHROPIC_USAGE),
    "header:x-amzn-bedrock-input-token-count": "other_input",
    "header:x-amzn-bedrock-output-token-count": "other_output",
    "header:x-amzn-bedrock-cache-read-input-token-count": "cache_read",
    "header:x-amzn-bedrock-cache-write-input-token-count": "cache_write",
}
_LINES = {
    # Ollama, a document a line.
    "response": "text",
    "message.content": "text",
    "message.thinking": "text",
    "prompt_eval_count": "input_fresh",
    "eval_count": "output",
    "done": "finish",
    "embeddings[]": "mark inert",
    # llama.cpp's own.
    "content": "text",
    "tokens_evaluated": "input_all",
    "tokens_predicted": "closing output",
    "timings.cache_n": "largest cached",
    "index": "index",
    "stop": "finish",
    # Text Generation Inference.
    "token.text": "text",
    "generated_text": "text",
    "details.generated_tokens": "output",
    "details.input_length": "input_fresh",
    "details.prompt_tokens": "input_fresh",
    "details.prefill[]": "count input_fresh",
    "details.best_of_sequences[].generated_tokens": "added beside_output",
    "details.finish_reason": "finish",
    "header:x-prompt-tokens": "other_input",
    "header:x-generated-tokens": "other_output",
}
_COHERE_USAGE = {
    "tokens.input_tokens": "largest input_all",
    "tokens.output_tokens": "largest output",
    "billed_units.input_tokens": "largest other_input",
    "billed_units.output_tokens": "largest other_output",
    "billed_units.image_tokens": "beside_input",
    "billed_units.search_units": "largest searches",
    "cached_tokens": "largest cached",
    "tokens": "usage",
    "billed_units": "usage",
}
_COHERE = {
    **_below("meta", _COHERE_USAGE),
    **_below("usage", _COHERE_USAGE),
    **_below("delta.usage", _COHERE_USAGE),
    **_below("response.meta", _COHERE_USAGE),
    "text": "text",
    "event_type": "type",
    "delta.message.content.text": "text",
    "delta.message.content.thinking": "text",
    "delta.message.tool_plan": "text",
    "message.content[].text": "text",
    "delta.message.tool_calls.function.arguments": "text",
    "delta.finish_reason": "finish",
    "finish_reason": "finish",
    "embeddings[]": "mark inert",
    "embeddings": "mark inert",
}
_HOSTS = {
    # Replicate, watsonx, Workers AI, and Mistral's conversations.
    "metrics.input_token_count": "input_all",
    "metrics.output_token_count": "output",
    "results[].input_token_count": "added input_all",
    "results[].generated_token_count": "added output",
    "results[].generated_text": "text",
    **_usage("result.usage", _CHAT_USAGE),
    "result.response": "text",
    "outputs[].content": "text",
    "outputs[].content[].text": "text",
    "metrics.image_count": "images",
    "metrics.image_output_count": "images",
    # DeepInfra, LM Studio, Aleph Alpha,
    "inference_status.tokens_input": "other_input",
    "inference_status.tokens_generated": "other_output",
    "inference_status.cost": _DOLLARS,
    "stats.input_tokens": "input_all",
    "stats.total_output_tokens": "output",
    "output[].content": "text",
    "num_tokens_prompt_total": "input_all",
    "num_tokens_generated": "output",
    "completions[].completion": "text",
    "completions[].finish_reason": "finish",
    # SGLang's own, a list of them for several prompts; KoboldCpp, Triton, vLLM's own.
    "meta_info.id": "identity response",
    "meta_info.prompt_tokens": "input_all",
    "meta_info.cached_tokens": "largest cached",
    "meta_info.completion_tokens": "closing output",
    "meta_info.finish_reason.type": "finish",
    "results[].prompt_tokens": "added input_all",
    "results[].completion_tokens": "added output",
    "results[].finish_reason": "finish",
    "results[].text": "text",
    "text_output": "text",
    "text[]": "text",
    "header:x-litellm-response-cost": _DOLLARS,
}
_AUTO = {
    **_LINES,
    **_HOSTS,
    **_COHERE,
    **_OPENAI,
    **_RESPONSES,
    **_BEDROCK,
    **_GEMINI,
    **_usage("usage", {**_CHAT_USAGE, "input_tokens": "input_either"}),
    **_usage("response.body.usage", {**_CHAT_USAGE, **_RESPONSES_USAGE}),
    **_usage("modelOutput.usage", {**_CHAT_USAGE, **_ANTHROPIC_USAGE, **_CONVERSE_USAGE}),
}

TABLES: Mapping[Shape, Mapping[str, str]] = {
    "auto": _AUTO,
    "openai": _OPENAI,
    "responses": _RESPONSES,
    "anthropic": _ANTHROPIC,
    "gemini": _GEMINI,
    "bedrock": _BEDROCK,
}


Form = Shape | TableSpec
"""A form that is built in, by its name, or one that a policy has."""


@cache
def table_of(form: Form) -> Mapping[str, str]:
    """Return the table of a form.

    A policy's own has the units; the rest is `auto`'s: what is text, a model, an error, an end. Units of
    `auto` are not read beside it, since they may be the same numbers by another name.
    """
    if isinstance(form, str):
        return TABLES[form]
    own = dict(form.places)
    rest = {path: meaning for path, meaning in _AUTO.items() if path not in own and not _is_unit(meaning)}
    if "text" in own.values():
        rest = {path: meaning for path, meaning in rest.items() if meaning != "text"}
    return {**rest, **own}


def _is_unit(meaning: str) -> bool:
    """Return whether a number is kept that is a unit of usage."""
    kind, _, rest = meaning.partition(" ")
    if kind in ("usage", "known", "of_part", "part", "part_name", "sorted", "sort", "sort_count"):
        return True
    return kind not in KINDS or (rest.split(" ")[0] in FIELDS and kind != "mark")


def one_of(forms: Sequence[Form]) -> Form | None:
    """Return a form that is all of these: the limits of one answer may name several."""
    if len(forms) < 2:
        return forms[0] if forms else None
    own = [form for form in forms if not isinstance(form, str)]
    if not own:
        return "auto"
    places = {path: meaning for form in reversed(forms) for path, meaning in _units_of(form).items()}
    return TableSpec("+".join(form.name for form in own), tuple(places.items()))


def _units_of(form: Form) -> Mapping[str, str]:
    if not isinstance(form, str):
        return dict(form.places)
    return {path: meaning for path, meaning in TABLES[form].items() if _is_unit(meaning)}


@cache
def paths_of(form: Form) -> Paths:
    """Return a form's table, compiled."""
    return compiled(table_of(form), FIELDS)


def compiled(table: Mapping[str, str], fields: tuple[str, ...]) -> Paths:
    """Return a table's paths, each field of it at its slot; those of headers are left out."""
    found = []
    for path, meaning in table.items():
        if path.startswith(HEADER):
            continue
        kind, _, rest = meaning.partition(" ")
        if kind not in KINDS:
            kind, rest = "number", meaning
        field, _, factor = rest.partition(" ")
        names = PARTS if kind == "of_part" else WHOSE if kind == "identity" else fields
        found.append((path, kind, names.index(field) if field else 0, millionths(factor)))
    return Paths(found)


def millionths(factor: str) -> int:
    """Return a decimal factor in millionths; 0 where there is none."""
    return int(Decimal(factor) * 1_000_000) if factor else 0


@cache
def headers_of(form: Form | None) -> dict[bytes, tuple[int, int]] | None:
    """Return the headers of an answer that tell of its usage, with slot and factor; None without any."""
    found = {}
    for path, meaning in ({} if form is None else table_of(form)).items():
        if path.startswith(HEADER):
            words = meaning.split(" ")
            field = next(word for word in words if word in FIELDS)
            factor = words[-1] if words[-1] != field else ""
            found[path.removeprefix(HEADER).encode()] = FIELDS.index(field), millionths(factor)
    return found or None


_NUMBER = re.compile(rb"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")


def is_number(value: bytes) -> bool:
    """Return whether a header says a number: some write small costs with an exponent."""
    return _NUMBER.fullmatch(value) is not None


def scaled(value: bytes, factor: int) -> int:
    """Return a decimal number times millionths, rounded up."""
    number = Decimal(value.decode())
    return min(
        int((number * factor / 1_000_000 if factor else number).to_integral_value(ROUND_CEILING)), 1 << 60
    )
