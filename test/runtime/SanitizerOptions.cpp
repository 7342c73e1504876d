// Under a sanitizer, a failed allocation is to return null as it does elsewhere: the tests ask for what no machine has.

extern "C" {
const char *__asan_default_options();
const char *__tsan_default_options();
const char *__asan_default_options() { return "allocator_may_return_null=1"; }
const char *__tsan_default_options() { return "allocator_may_return_null=1"; }
}
