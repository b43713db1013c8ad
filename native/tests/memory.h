/* Lets a test run out of memory: the linker puts this in malloc's place (see the Makefile). */
#pragma once
#include <stddef.h>

static int memory_is_out;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return memory_is_out ? NULL : __real_malloc(size);
}
