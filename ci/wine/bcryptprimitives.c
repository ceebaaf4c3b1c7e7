/* bcryptprimitives.dll for a Wine that lacks it (8.0 does), so that Rust programs start there: std takes its random bytes
 * from `ProcessPrng`, the one function that it imports from this library. Only for tests under Wine; never shipped. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) {
    while (length > 0) {
        ULONG now = length > 65536 ? 65536 : (ULONG)length;
        if (!RtlGenRandom(bytes, now)) return FALSE;
        bytes += now;
        length -= now;
    }
    return TRUE;
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved) { return TRUE; }
