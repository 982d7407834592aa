/* Lets Amanda's own S3 device write.
 *
 * It sets CURLOPT_POST to 0 after CURLOPT_UPLOAD to 1. The libcurl of its time kept the upload; that
 * of today takes it for a wish to GET. With this library, preloaded, a POST of 0 changes nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

enum { CURLE_OK = 0, CURLOPT_POST = 47 };

int curl_easy_setopt(void *handle, int option, ...)
{
    static int (*next)(void *, int, ...);
    va_list arguments;
    void *value;

    va_start(arguments, option);
    value = va_arg(arguments, void *);
    va_end(arguments);
    if (next == NULL) {
        /* the modules of Perl keep their libraries to themselves: RTLD_NEXT would not find it */
        void *library = dlopen("libcurl.so.4", RTLD_LAZY);
        if (library == NULL || (next = dlsym(library, "curl_easy_setopt")) == NULL)
            abort();
    }
    if (option == CURLOPT_POST && value == NULL)
        return CURLE_OK;
    return next(handle, option, value);
}
