# A provider's numbers, in units that do not overlap.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.usage.event cimport Part, Said
from ratelimit.usage.prices cimport Used, add_used, of_tokens

cdef enum Slot:     # of what a reader keeps: the places of `FIELDS`
    INPUT_ALL
    CACHED
    CACHE_WRITTEN
    INPUT_FRESH
    INPUT_EITHER
    CACHE_READ
    CACHE_WRITE
    CACHE_WRITE_1H
    OUTPUT
    OUTPUT_EARLY
    OUTPUT_PART
    THOUGHTS
    TOOL_INPUT
    TOTAL
    BESIDE_INPUT
    BESIDE_OUTPUT
    REASONING
    CITATIONS
    OTHER_INPUT
    OTHER_OUTPUT
    COST
    INERT
    AUDIO_INPUT         # pictures follow sounds: see `end_sorted`
    IMAGE_INPUT
    AUDIO_CACHED
    IMAGE_CACHED
    AUDIO_OUTPUT
    IMAGE_OUTPUT
    SEARCHES
    IMAGES
    OF_ONE              # it is said of one sequence, whatever the usage stands beside
    AUDIO_SECONDS       # of input; its tokens may be in the total alone

cdef enum PartNumber:
    PART_FRESH
    PART_READ
    PART_WRITE
    PART_WRITE_1H
    PART_OUTPUT

cdef enum:
    TEXT_TOKENS = 2         # tokens in so many bytes of text: a token has 3.5 bytes, which is few for any language
    TEXT_BYTES = 7


# noexcept, all of them: they compare and add up numbers of at most 2**60.

cdef inline int64_t tokens(uint64_t size) noexcept:
    return size * TEXT_TOKENS // TEXT_BYTES


cdef inline bint has(const Said *said, int slot) noexcept:
    return said.have >> slot & 1


cdef inline int64_t number(const Said *said, int slot) noexcept:
    """Return what stands in a slot; 0 where nothing does."""
    return said.values[slot] if said.have >> slot & 1 else 0


cdef inline bint split(const Said *said, int64_t output, Used *used) noexcept:
    """Fill in the four units; return whether the input is among what was said."""
    cdef int64_t all_of_it = -1, fresh = -1, reads, writes, hour
    cdef bint has_input
    used[0] = of_tokens(0, 0, 0, output)
    if not said.have:
        return False
    if has(said, INPUT_ALL):
        all_of_it = number(said, INPUT_ALL)
    if has(said, INPUT_FRESH):
        fresh = number(said, INPUT_FRESH)
    if has(said, INPUT_EITHER):
        # OpenAI says beside it how much of it was cached; Anthropic never does.
        if has(said, CACHED):
            all_of_it = number(said, INPUT_EITHER)
        else:
            fresh = number(said, INPUT_EITHER)
    if all_of_it < 0 and fresh < 0:
        if has(said, OTHER_INPUT):
            fresh = number(said, OTHER_INPUT)
        elif has(said, INERT) and has(said, TOTAL):
            fresh = number(said, TOTAL)     # embeddings and scores have no output
    hour = number(said, CACHE_WRITE_1H)
    if all_of_it >= 0:
        reads = number(said, CACHED if has(said, CACHED) else CACHE_READ)
        writes = number(said, CACHE_WRITTEN if has(said, CACHE_WRITTEN) else CACHE_WRITE)
        used.fresh_input = max(<int64_t>0, all_of_it - reads - writes)
        used.cache_write, used.cache_read, used.cache_write_1h = writes, reads, min(hour, writes)
        has_input = True
    else:
        used.fresh_input = max(<int64_t>0, fresh)
        used.cache_write, used.cache_write_1h = max(number(said, CACHE_WRITE), hour), hour
        used.cache_read = number(said, CACHE_READ if has(said, CACHE_READ) else CACHED)
        has_input = fresh >= 0
    used.fresh_input += number(said, TOOL_INPUT) + heard(said)
    raise_by_parts(said, used)
    used.fresh_input += number(said, BESIDE_INPUT)
    split_shares(said, used)
    return has_input


cdef inline int64_t heard(const Said *said) noexcept:
    """Return the tokens of sounds that the total alone has; 0 where no seconds of sound are said."""
    if not (number(said, AUDIO_SECONDS) and has(said, TOTAL) and has(said, OUTPUT) and has(said, INPUT_ALL)):
        return 0
    return max(<int64_t>0, number(said, TOTAL) - number(said, INPUT_ALL) - number(said, OUTPUT))


cdef inline void split_shares(const Said *said, Used *used) noexcept:
    """Fill in the sounds and pictures among the tokens, each at most what it is a share of; and the pieces."""
    used.audio_read = min(number(said, AUDIO_CACHED), used.cache_read)
    used.audio_input = min(
        max(<int64_t>0, number(said, AUDIO_INPUT) - used.audio_read) + heard(said), used.fresh_input
    )
    used.image_input = min(
        max(<int64_t>0, number(said, IMAGE_INPUT) - number(said, IMAGE_CACHED)), used.fresh_input - used.audio_input
    )
    used.audio_output, used.image_output = number(said, AUDIO_OUTPUT), number(said, IMAGE_OUTPUT)
    used.searches, used.images = number(said, SEARCHES), number(said, IMAGES)


cdef inline Used part_of(const Part *part) noexcept:
    """Return a share in units."""
    return of_tokens(
        part.numbers[<int>PART_FRESH], max(part.numbers[<int>PART_WRITE], part.numbers[<int>PART_WRITE_1H]),
        part.numbers[<int>PART_READ],
        part.numbers[<int>PART_OUTPUT], part.numbers[<int>PART_WRITE_1H],
    )


cdef inline Used parts_of(const Said *said) noexcept:
    """Return what all shares come to."""
    cdef Used sum = of_tokens(0), one
    cdef int at
    for at in range(said.part_count):
        one = part_of(&said.parts[at])
        add_used(&sum, &one)
    return sum


cdef inline void raise_by_parts(const Said *said, Used *used) noexcept:
    """Take the larger of what was said of all, and of its shares: some are left out of the sum."""
    cdef Used sum
    if not said.part_count:
        return
    sum = parts_of(said)
    used.fresh_input = max(used.fresh_input, sum.fresh_input)
    used.cache_write = max(used.cache_write, sum.cache_write)
    used.cache_read = max(used.cache_read, sum.cache_read)
    used.cache_write_1h = max(used.cache_write_1h, sum.cache_write_1h)


cdef inline int64_t beyond_input(const Said *said) noexcept:
    """Return what the total has beyond the input: some count reasoning there alone. 0 where either is not known."""
    cdef Used used
    if not has(said, TOTAL) or not split(said, 0, &used):
        return 0
    return max(
        <int64_t>0,
        number(said, TOTAL) + number(said, BESIDE_INPUT) - used.fresh_input - used.cache_write - used.cache_read,
    )


cdef inline int64_t said_output(const Said *said) noexcept:
    """Return the output as it was said; -1 where it was not."""
    cdef int64_t output = -1, beside = 0
    cdef Used used
    if has(said, OUTPUT):
        output = number(said, OUTPUT)
    elif has(said, OUTPUT_PART) or has(said, THOUGHTS):
        # Gemini counts thoughts beside the candidates.
        output = number(said, OUTPUT_PART) + number(said, THOUGHTS)
    elif has(said, OTHER_OUTPUT):
        output = number(said, OTHER_OUTPUT)
    if output >= 0:
        # Reasoning stands beside the output where the sources that were read are counted, or where it is more than all
        # of it and no total says that it is not.
        if has(said, CITATIONS) or (number(said, REASONING) > output and not has(said, TOTAL)):
            beside = number(said, CITATIONS) + number(said, REASONING)
        output = max(max(output + beside, beyond_input(said)), parts_of(said).output)
        return output + number(said, BESIDE_OUTPUT)
    if has(said, INERT):
        return 0 if split(said, 0, &used) else -1
    if not has(said, TOTAL):
        return -1
    # Prompts that were refused have no output to speak of.
    return max(<int64_t>0, number(said, TOTAL) - number(said, INPUT_ALL) - number(said, TOOL_INPUT))


cdef inline void fold_total(Said *said) noexcept:
    """Take what only the total has into the output, and the total away."""
    cdef int64_t output = said_output(said)
    if has(said, TOTAL) and output >= 0:
        said.values[<int>OUTPUT] = output - number(said, BESIDE_OUTPUT)
        said.have = (said.have | <uint32_t>1 << OUTPUT) & ~(
            <uint32_t>1 << TOTAL | <uint32_t>1 << OUTPUT_PART | <uint32_t>1 << THOUGHTS | <uint32_t>1 << REASONING
        )
