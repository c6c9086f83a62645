/*
 * A child that runs on a part of its parent's stack (CLONE_VM | CLONE_VFORK) leaves there what the address
 * sanitizer has noted of its frames, and nobody takes it away when it ends or starts a program.
 */
#ifndef CLEAN_STACK_H
#define CLEAN_STACK_H

#include <stddef.h>

#ifdef __SANITIZE_ADDRESS__
void __asan_unpoison_memory_region(const volatile void *address, size_t size);
#define CLEAN_STACK(stack) __asan_unpoison_memory_region(stack, sizeof(stack))
#else
#define CLEAN_STACK(stack) (void)(stack)
#endif

#endif
