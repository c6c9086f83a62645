/* Texts of error numbers, in the words that every other program of the host uses. */
#include "warden_native.h"

#include <string.h>

const char *warden_error_text(int number) { return strerror(number); }
