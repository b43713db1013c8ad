#include "check.h"
#include "memory.h"

static void push(struct sent *q, uint32_t seq, uint32_t end, int64_t now)
{
    CHECK(sent_push(q, seq, end, now) == 1);
}

static int is_one(struct transmission one, uint32_t seq, uint32_t end, int64_t at)
{
    return one.seq == seq && one.end == end && one.sent_at == at;
}

static void the_oldest_leaves_first(void)
{
    struct sent q = {NULL, 0, 0, 0};
    struct transmission out;

    push(&q, 100, 200, 1);
    push(&q, 200, 250, 2);
    CHECK(is_one(sent_at(&q, 0), 100, 200, 1) && is_one(sent_at(&q, 1), 200, 250, 2));
    CHECK(sent_pop(&q, 100, 250, &out) == 1 && is_one(out, 100, 200, 1));
    CHECK(sent_pop(&q, 100, 250, &out) == 1 && is_one(out, 200, 250, 2));
    CHECK(q.count == 0 && sent_pop(&q, 100, 250, &out) == 0);
    sent_free(&q);
}

static void nothing_leaves_that_lies_at_una_or_above(void)
{
    struct sent q = {NULL, 0, 0, 0};
    struct transmission out = {7, 7, 7};

    push(&q, 100, 200, 1);
    CHECK(sent_pop(&q, 100, 100, &out) == 0);
    CHECK(sent_pop(&q, 50, 90, &out) == 0);
    CHECK(q.count == 1 && is_one(sent_at(&q, 0), 100, 200, 1) && is_one(out, 7, 7, 7));
    sent_free(&q);
}

static void only_what_lies_below_una_leaves(void)
{
    struct sent q = {NULL, 0, 0, 0};
    struct transmission out;

    push(&q, 100, 200, 1);
    CHECK(sent_pop(&q, 100, 101, &out) == 1 && is_one(out, 100, 101, 1));
    CHECK(q.count == 1 && is_one(sent_at(&q, 0), 101, 200, 1));
    CHECK(sent_pop(&q, 101, 101, &out) == 0);
    CHECK(sent_pop(&q, 101, 200, &out) == 1 && is_one(out, 101, 200, 1) && q.count == 0);
    sent_free(&q);
}

static void numbers_wrap(void)
{
    const uint32_t base = UINT32_MAX - 9;
    struct sent q = {NULL, 0, 0, 0};
    struct transmission out;

    push(&q, base, base + 5, 1);
    push(&q, base + 5, 5, 2); /* across */
    push(&q, 5, 10, 3);
    CHECK(sent_pop(&q, base, 2, &out) == 1 && is_one(out, base, base + 5, 1));
    CHECK(sent_pop(&q, base, 2, &out) == 1 && is_one(out, base + 5, 2, 2));
    CHECK(sent_pop(&q, base, 2, &out) == 0);
    CHECK(sent_pop(&q, 2, 10, &out) == 1 && is_one(out, 2, 5, 2));
    CHECK(sent_pop(&q, 2, 10, &out) == 1 && is_one(out, 5, 10, 3));
    sent_free(&q);
}

/* The memory goes round and grows while it is in use. */
static void many_come_and_go(void)
{
    struct sent q = {NULL, 0, 0, 0};
    uint32_t end = UINT32_MAX - 500, una = end, i, k;
    struct transmission out;

    for (i = 1; i <= 300; i++) {
        for (k = 0; k < 3; k++, end += 10)
            push(&q, end, end + 10, end);
        CHECK(sent_pop(&q, una, una + 10, &out) == 1 && is_one(out, una, una + 10, una));
        una += 10;
        CHECK(q.count == 2 * i && sent_at(&q, 0).seq == una);
        CHECK(sent_at(&q, q.count - 1).end == end);
    }
    while (sent_pop(&q, una, end, &out)) {
        CHECK(is_one(out, una, una + 10, una));
        una += 10;
    }
    CHECK(una == end && q.data == NULL && q.capacity == 0); /* much memory is given back */
    push(&q, 1, 2, 3);
    CHECK(is_one(sent_at(&q, 0), 1, 2, 3));
    sent_free(&q);
}

static void a_little_memory_is_kept(void)
{
    struct sent q = {NULL, 0, 0, 0};
    struct transmission out;

    push(&q, 1, 2, 3);
    CHECK(sent_pop(&q, 1, 2, &out) == 1 && q.count == 0 && q.data != NULL);
    sent_free(&q);
    CHECK(q.data == NULL && q.capacity == 0);
}

static void without_memory_nothing_changes(void)
{
    struct sent q = {NULL, 0, 0, 0};
    uint32_t i;

    memory_is_out = 1;
    CHECK(sent_push(&q, 1, 2, 3) == 0 && sent_reserve(&q) == 0 && q.count == 0);
    memory_is_out = 0;
    CHECK(sent_reserve(&q) == 1);
    memory_is_out = 1;
    for (i = 0; i < q.capacity; i++)
        push(&q, i, i + 1, 1); /* there is room */
    CHECK(sent_push(&q, i, i + 1, 1) == 0 && q.count == q.capacity);
    memory_is_out = 0;
    for (i = 0; i < q.count; i++)
        CHECK(is_one(sent_at(&q, i), i, i + 1, 1));
    sent_free(&q);
}

int main(void)
{
    RUN(the_oldest_leaves_first);
    RUN(nothing_leaves_that_lies_at_una_or_above);
    RUN(only_what_lies_below_una_leaves);
    RUN(numbers_wrap);
    RUN(many_come_and_go);
    RUN(a_little_memory_is_kept);
    RUN(without_memory_nothing_changes);
    return 0;
}
