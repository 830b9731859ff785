from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimit.usage.event cimport LONGEST_TIER, MOST_PARTS, Event, Part, Said
from ratelimit.usage.framing cimport Frames, Lines
from ratelimit.usage.paths cimport Paths
from ratelimit.usage.prices cimport Used, of_tokens
from ratelimit.usage.tokenizer cimport Scan
from ratelimit.usage.units cimport OF_ONE, OUTPUT_EARLY, has, number, said_output, split, tokens

cdef enum Form:
    UNSEEN      # to be told from the first byte
    EVENTS      # server-sent events
    JSON        # one document, or several one after another
    FRAMES      # AWS event stream
    OPAQUE      # nothing that can be read

cdef enum:
    CHOICE_WORDS = 4        # 64 choices each: those beyond count whenever one of them is finished
    MOST_NAMED = 16         # responses that are settled, remembered by their names
    MOST_BYTES = 16         # bytes of a token on average, in any answer that is believed
    MOST_BYTES_OF_MANY = 7  # likewise, of several choices: some servers say the usage of the first alone
    FEW_BYTES = 256         # of so short a text, that says little;
    FEW_BYTES_OF_MANY = 32  # of several choices even less


cdef class Receipt:
    cdef Used used
    cdef readonly int64_t cost      # nano-dollars by the provider; -1: it says none
    cdef readonly bint is_exact
    cdef bytes model
    cdef str tier
    cdef Part parts[MOST_PARTS]
    cdef int part_count


cdef class Reader:
    cdef Paths paths
    cdef Scan outer
    cdef Scan inner
    cdef Event event
    cdef Lines lines
    cdef Frames frames
    cdef uint8_t way
    cdef readonly bint has_end           # a mark of the end was there
    cdef readonly bint is_connection    # responses of one connection, one after another
    cdef readonly bint has_error    # a document says that the answer failed
    cdef bint is_whole          # the last document of a body in JSON is whole
    cdef readonly unsigned long events
    cdef readonly unsigned long malformed
    cdef readonly unsigned long ignored
    cdef readonly unsigned long odd
    cdef readonly unsigned long names
    cdef unsigned long usage_event      # the last event with usage, from 1 on
    cdef unsigned long finish_event     # the first that says the answer is finished
    cdef Said said              # the usage of the response under way
    cdef uint64_t text_by_usage         # bytes of text up to the last document with usage
    cdef readonly bint is_guessed       # the form was told from the first byte
    cdef readonly bint has_raw          # some of what was sent was text as it is
    cdef readonly Py_ssize_t boundary
    cdef uint8_t spoken         # which provider's events they are
    cdef bytes found_name
    cdef str found_tier         # of the response under way, in lower case; None: it says none
    cdef char last_tier[LONGEST_TIER]   # as the last document had it: most have the same
    cdef uint8_t last_tier_size
    # Receipts: of responses that are settled.
    cdef list receipts          # those that are not taken yet; None: none is
    cdef readonly unsigned long receipt_count
    cdef Used settled           # the sum of all of them
    cdef readonly bint has_doubt         # some of them are not exact
    cdef uint64_t text_so_far   # bytes of text, and documents with text, before the document under way
    cdef uint64_t spoken_so_far
    cdef uint64_t text_before   # likewise up to the last receipt
    cdef uint64_t spoken_before
    cdef readonly bint has_begun         # a response is under way
    cdef readonly bint is_strange        # it says tokens that the table does not know
    cdef readonly bint is_output_sure   # the output is exact, whether or not the input was said; once it has ended
    cdef uint64_t identity      # of the response with usage under way; 0: none was named
    cdef uint64_t turn
    cdef uint64_t named[MOST_NAMED]
    # Choices of the response under way.
    cdef uint64_t finished[CHOICE_WORDS]
    cdef bint is_fresh                  # the last one that was finished was not so before
    cdef readonly unsigned long finished_count
    cdef unsigned long fresh_count      # those finished since the last usage that is about no choice
    cdef readonly unsigned long length_count     # those that ended by their maximum
    cdef unsigned long finals           # usages of a choice that is finished
    cdef unsigned long closings         # usages about no choice, after one was finished
    cdef readonly unsigned long added            # usages that were added to others
    cdef readonly int most_choices               # choices of one document
    # The request's own: see `expect`.
    cdef readonly int64_t asked_choices
    cdef readonly int64_t asked_prompts
    cdef readonly int64_t asked_output
    cdef readonly int64_t asked_input
    cdef readonly bint is_echo
    cdef Said foretold          # by headers: what counts where the answer says none itself

    cdef int take(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int feed_lines(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef void feed_data(self, const uint8_t *p, Py_ssize_t n) noexcept
    cdef int end_event(self) except -1
    cdef int feed_json(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int feed_frames(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int commit(self) except -1
    cdef int take_usage(self, bint is_about_all) except -1
    cdef int note_choices(self) except -1
    cdef int say(self, Said *said) except -1
    cdef int add(self) except -1
    cdef int close(self) except -1
    cdef int close_before(self) except -1
    cdef int begin_response(self) except -1
    cdef void end_document(self) noexcept
    cdef int note_tier(self) except -1
    cdef int append(self, const Said *said, bytes name, str tier, bint is_exact) except -1
    cdef int take_foretold(self) except -1
    cdef bint was_named(self, uint64_t identity) noexcept
    cdef void expect_of(
        self, int64_t choices, int64_t prompts, int64_t output, int64_t of_input, bint is_echo
    ) noexcept
    cdef void drop(self) noexcept
    cdef void note_dialect(self) noexcept
    cdef int kind_of_event(self) noexcept


# noexcept, all of them: they compare and add up numbers of a reader.

cdef inline uint64_t open_text(Reader reader) noexcept:
    """Return the bytes of text of the response under way."""
    return reader.event.text - reader.text_before


cdef inline int64_t several(Reader reader) noexcept:
    """Return how many choices the usage of the response under way was said for once; 1 where each has its own."""
    return 1 if reader.added else max(<int64_t>1, <int64_t>reader.most_choices)


cdef inline bint is_too_little(Reader reader, int64_t output) noexcept:
    """Return whether so many tokens are too few for what passed through."""
    cdef int64_t choices = several(reader), most = output
    cdef uint64_t text = open_text(reader)
    cdef Used used
    if choices > 1 and has(&reader.said, OF_ONE):
        return True     # llama.cpp's counters of one sequence stand beside the text of all
    if reader.is_echo and split(&reader.said, 0, &used):
        most += used.fresh_input + used.cache_write + used.cache_read
    if choices > 1:
        if text > FEW_BYTES_OF_MANY and text > <uint64_t>most * MOST_BYTES_OF_MANY:
            return True
    elif text > FEW_BYTES and text > <uint64_t>most * MOST_BYTES:
        return True
    if text and output < <int64_t>reader.finished_count:
        return True
    # All were cut by their maximum, and what was said is that of one.
    return choices > 1 and reader.length_count > 1 and output == reader.asked_output


cdef inline bint are_all_cut(Reader reader, int64_t output) noexcept:
    """Return whether each choice has the maximum, as the first has: so all of them are counted, whatever was said."""
    cdef int64_t choices = several(reader)
    return (
        choices > 1 and output > 0 and output == reader.asked_output
        and <int64_t>reader.length_count == choices == <int64_t>reader.finished_count
    )


cdef inline int64_t seen_at_least(Reader reader, int64_t output) noexcept:
    """Return what passed through, in tokens, where less was said."""
    cdef int64_t choices = several(reader), by_text = tokens(open_text(reader)), rest
    cdef int64_t cut = <int64_t>reader.length_count, most = min(max(<int64_t>0, reader.asked_output), <int64_t>1 << 40)
    if choices > 1 and output == reader.asked_output and cut > 1:
        by_text = cut * output + by_text * max(<int64_t>0, choices - cut) // choices
    elif choices > 1 and cut and has(&reader.said, OF_ONE):
        # The first stopped before, and was counted. Those that were cut have the maximum, unless it was the context's.
        rest = max(<int64_t>0, choices - cut - 1)
        by_text = max(by_text, output + min(cut * most, <int64_t>open_text(reader)) + by_text * rest // choices)
    elif choices > 1:
        # The first may have as many as each other one, and no text has more tokens than bytes.
        by_text = max(by_text, min(choices * min(output, <int64_t>1 << 40), <int64_t>open_text(reader)))
    return max(output, max(by_text, <int64_t>reader.finished_count))


cdef inline int64_t as_dense(Reader reader, int64_t size) noexcept:
    """Return the tokens of so many bytes, if they have as many a token as the answers, and each as many as the first."""
    cdef int64_t said = min(max(<int64_t>0, said_output(&reader.said)), <int64_t>1 << 20)
    cdef int64_t text = open_text(reader)
    return min(size, <int64_t>1 << 31) * min(several(reader) * said, text) // text if text > 0 else 0


cdef inline bint lacks_choices(Reader reader) noexcept:
    """Return whether choices that the request asked for are not finished."""
    cdef int64_t prompts = min(max(<int64_t>1, reader.asked_prompts), <int64_t>1 << 30)
    cdef int64_t asked = min(reader.asked_choices, <int64_t>1 << 30) * prompts
    # A response with a name of its own is of one prompt.
    return asked > 1 and not reader.identity and reader.most_choices < 2 and <int64_t>reader.finished_count < asked


cdef inline bint is_final(Reader reader) noexcept:
    """Return whether the response under way is over, as far as it says."""
    return reader.has_end or reader.is_whole or (
        reader.finish_event > 0 and reader.usage_event >= reader.finish_event and not lacks_choices(reader)
    )


cdef inline bint has_doubts(Reader reader) noexcept:
    """Return whether the usage of the response under way may not be all of it."""
    cdef int64_t output = said_output(&reader.said)
    if reader.is_strange or output < 0 or not is_too_little(reader, output):
        return reader.is_strange
    return reader.asked_prompts > 1 or not are_all_cut(reader, output)


cdef inline int64_t output_of(Reader reader) noexcept:
    """Return the output tokens that the response under way has had at least."""
    cdef int64_t by_text = max(
        tokens(open_text(reader)), <int64_t>(reader.event.spoken - reader.spoken_before)
    )
    cdef int64_t output, early
    cdef uint64_t late
    if not reader.said.have and not reader.said.part_count:
        return by_text
    output, early = said_output(&reader.said), number(&reader.said, OUTPUT_EARLY)
    if output < 0 or reader.has_raw:
        return max(max(<int64_t>0, output), max(early, by_text))
    late = reader.event.text - reader.text_by_usage
    if is_final(reader) and not late:
        return max(seen_at_least(reader, output) if is_too_little(reader, output) else output, early)
    return max(output + tokens(late), max(early, by_text))


cdef inline bint used_of(Reader reader, Used *used) noexcept:
    """Fill in what the response under way used at least; return whether its input was said."""
    cdef int64_t output = output_of(reader), prompts = reader.asked_prompts, choices = reader.asked_choices
    cdef bint has_input = split(&reader.said, output, used)
    if prompts > 1 and has_input and not reader.identity:
        if reader.added and choices > 1:
            # Each choice said the input of its prompt.
            used.fresh_input = (used.fresh_input + choices - 1) // choices
            used.cache_read = (used.cache_read + choices - 1) // choices
        elif not reader.added and is_too_little(reader, max(<int64_t>0, said_output(&reader.said))):
            # What was said is of the first alone. The others' prompts may be as long as its own, and have as many bytes
            # a token as the answers. No body has more tokens than bytes, and one more for each prompt.
            used.fresh_input = max(
                max(used.fresh_input, tokens(reader.asked_input)),
                min(
                    max(used.fresh_input * min(prompts, <int64_t>1 << 20), as_dense(reader, reader.asked_input)),
                    reader.asked_input + prompts,
                ),
            )
        used.fresh_input = max(used.fresh_input, prompts - used.cache_read - used.cache_write)
    return has_input
